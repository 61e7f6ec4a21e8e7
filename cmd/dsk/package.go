package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/bundle"
	"github.com/dsk-toolkit/dsk/bundle/pack"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model/dskfile"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/spf13/cobra"
)

type packageOptions struct {
	model, output, platform, format, name string
	runner, memory, deltaFrom             string
	key, passwordFile                     string
	recipients                            []string
	ctx                                   int
	force                                 bool
}

func (a *app) packageCommand() *cobra.Command {
	var o packageOptions
	cmd := &cobra.Command{
		Use:   "package MODEL.dsk",
		Short: "Make a bundle that runs on a board as it is",
		Long: `Make a bundle that runs on a board as it is: the model, a runner for the platform, recorded
inputs and outputs, and a manifest with the hash of every piece.

  dsk package small.dsk -o app --platform raspberrypi:4
  dsk package small.dsk -o app.deb --platform raspberrypi:5 --sign release.key
  dsk package small.dsk -o app --platform linux-amd64 --format exe
  dsk package new.dsk -o new.dskdelta --platform raspberrypi:4 --delta-from app

On the board: ./run --selftest, ./run help. The format follows the name of OUT (.tar.zst, .deb),
else it is a folder. The model is run once, on made-up inputs; the same model, platform and
runner give the same bytes.

EXIT STATUS
  2 if there is no runner for the platform; 5 if the model does not fit the board, with numbers;
  6 if the model or the runner is damaged.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runPackage(cmd.Context(), args, &o) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "folder or file to make")
	f.StringVar(&o.model, "model", "", "the model, as the older spelling of the argument")
	f.StringVar(&o.platform, "platform", "", "raspberrypi:zero2|3|4|5, jetson-nano, jetson-orin, android-arm64, linux-amd64|arm64|armv7, windows-amd64, darwin-arm64, wasm")
	f.StringVar(&o.format, "format", "", "folder, tar.zst, exe or deb (default: by the name of OUT)")
	f.StringVar(&o.name, "name", "", "name of the bundle (default: the model's)")
	f.StringVar(&o.runner, "runner", "", "runner to use instead of the one that dsk carries")
	f.StringVar(&o.memory, "memory", "", "memory of the board, 4GiB for instance (default: the smallest model sold)")
	f.IntVar(&o.ctx, "ctx", 0, "context in tokens that must fit (0 = the model's)")
	f.StringVar(&o.deltaFrom, "delta-from", "", "write only what this bundle lacks (in any of the formats)")
	f.StringVar(&o.key, "sign", "", "sign with this secret key")
	f.StringVar(&o.passwordFile, "password-file", "", "file with the secret key's password")
	f.StringArrayVar(&o.recipients, "encrypt-to", nil, "encrypt the model for this recipient of age (age1..., or a file of them); may be repeated")
	f.BoolVar(&o.force, "force", false, "replace an existing file")
	return cmd
}

// packageFormat is the format that a name asks for.
func (o *packageOptions) packageFormat() (string, error) {
	switch {
	case o.deltaFrom != "":
		if o.format != "" {
			return "", &fault.Usage{What: "--delta-from has a format of its own: leave --format out"}
		}
		return "delta", nil
	case o.format == "folder", o.format == "tar.zst", o.format == "exe", o.format == "deb":
		return o.format, nil
	case o.format != "":
		return "", &fault.Usage{What: fmt.Sprintf("--format is folder, tar.zst, exe or deb, not %q", o.format)}
	case strings.HasSuffix(o.output, ".tar.zst"):
		return "tar.zst", nil
	case strings.HasSuffix(o.output, ".deb"):
		return "deb", nil
	}
	return "folder", nil
}

func (a *app) runPackage(ctx context.Context, args []string, o *packageOptions) error {
	path := o.model
	if len(args) == 1 {
		path = args[0]
	}
	format, err := o.packageFormat()
	switch {
	case err != nil:
		return err
	case path == "":
		return &fault.Usage{What: "give the model: dsk package MODEL.dsk -o OUT --platform NAME"}
	case o.platform == "":
		return &fault.Usage{What: "--platform is needed: raspberrypi:4 for instance"}
	case format == "folder" && (o.output == "-" || o.force):
		return &fault.Usage{What: "a folder is written to a new path only"}
	}
	if err := needOutput(o.output, o.force); err != nil {
		return err
	}
	p, err := bundle.FindPlatform(o.platform)
	if err != nil {
		return err
	}
	settings := pack.Options{Platform: p, Context: o.ctx, Name: o.name, Version: version, Threads: a.threads}
	if o.memory != "" {
		if settings.Memory, err = parseSize(o.memory); err != nil {
			return &fault.Usage{What: fmt.Sprintf("--memory %q: give bytes, or a number with B, KB, MB, GB, KiB, MiB or GiB", o.memory)}
		}
	}
	if settings.Recipients, err = pack.ParseRecipients(o.recipients); err != nil {
		return err
	}
	if settings.Runner, err = findRunner(p, o.runner, len(o.recipients) > 0); err != nil {
		return err
	}
	data, err := tensor.Map(path)
	if err != nil {
		return err
	}
	defer data.Close()
	f, err := dskfile.OpenBytes(data.Data)
	if err != nil {
		return fault.InFile(err, path)
	}
	defer f.Close()
	progress := a.newProgress()
	err = f.Verify(ctx, progress.stageFunc("verify"))
	progress.finish()
	if err != nil {
		return fault.InFile(err, path)
	}
	b, err := pack.Build(ctx, data.Data, f, settings)
	if err != nil {
		return fault.InFile(err, path)
	}
	if o.key != "" {
		if err := signBundle(b, o.key, o.passwordFile); err != nil {
			return err
		}
	}
	if err := a.writeBundle(b, p, format, o); err != nil {
		return err
	}
	a.reportBundle(b, format, o.output)
	return nil
}

func (a *app) writeBundle(b *bundle.Bundle, p *bundle.Platform, format string, o *packageOptions) error {
	var write func(io.Writer) error
	switch format {
	case "folder":
		return pack.Folder(b, o.output)
	case "tar.zst":
		write = func(w io.Writer) error { return pack.Archive(b, w) }
	case "exe":
		write = func(w io.Writer) error { return pack.Executable(b, w) }
	case "deb":
		write = func(w io.Writer) error { return pack.Deb(b, p, w) }
	case "delta":
		old, err := pack.ReadManifest(o.deltaFrom)
		if err != nil {
			return err
		}
		write = func(w io.Writer) error { return pack.Delta(old, b, w) }
	}
	if o.output == "-" {
		return write(a.stdout)
	}
	if err := saveFile(o.output, write); err != nil || format != "exe" {
		return err
	}
	return os.Chmod(o.output, 0o755)
}

func (a *app) reportBundle(b *bundle.Bundle, format, output string) {
	if output == "-" {
		return
	}
	size := int64(0)
	if info, err := os.Stat(output); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	} else {
		size = int64(len(b.Text) + len(b.Signature))
		for _, f := range b.Manifest.Files {
			size += f.Bytes
		}
	}
	fit := b.Manifest.Fit
	if a.json {
		a.printJSON("package", struct {
			Output   string     `json:"output"`
			Format   string     `json:"format"`
			Bytes    int64      `json:"bytes"`
			ID       string     `json:"id"`
			Platform string     `json:"platform"`
			Runner   int64      `json:"runner_file_bytes"`
			Signed   bool       `json:"signed"`
			Fit      bundle.Fit `json:"fit"`
		}{output, format, size, b.Manifest.ID, b.Manifest.Platform, b.Manifest.Files[0].Bytes, len(b.Signature) > 0, fit})
		return
	}
	a.print("%s: %s, %s for %s (runner %s)", output, format, megabytes(size), b.Manifest.Platform, megabytes(b.Manifest.Files[0].Bytes))
	a.print("memory: weights %s, caches %s, intermediate values %s, runner %s", megabytes(fit.Weights), megabytes(fit.Caches), megabytes(fit.Arena), megabytes(fit.Runner))
	if fit.Memory > 0 {
		a.print("board: %s, the system keeps %s", megabytes(fit.Memory), megabytes(fit.System))
	}
	if fit.PredictedMS > 0 {
		a.print("predicted, not measured: %.3g ms for a run or a token", fit.PredictedMS)
	}
}

// signBundle signs with a key from a file.
func signBundle(b *bundle.Bundle, key, passwordFile string) error {
	password, err := readPassword(passwordFile)
	if err != nil {
		return err
	}
	k, err := pack.ReadSecretKey(key, password)
	if err != nil {
		return err
	}
	return pack.Sign(b, k)
}

func readPassword(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	return withoutLineBreak(b), err
}

func (a *app) signCommand() *cobra.Command {
	var key, passwordFile string
	cmd := &cobra.Command{
		Use:   "sign BUNDLE",
		Short: "Sign a bundle's manifest, in minisign's format",
		Long: `Sign a bundle's manifest, in minisign's format. BUNDLE is a folder, which gets the file
manifest.json.minisig, or an executable, which is written anew.

  dsk keygen release
  dsk sign app --key release.key
  minisign -Vm app/manifest.json -p release.pub`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.runSign(cmd.Context(), args[0], key, passwordFile)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "secret key, of dsk keygen or minisign -G")
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "file with the secret key's password")
	return cmd
}

func (a *app) runSign(ctx context.Context, path, key, passwordFile string) error {
	if key == "" {
		return &fault.Usage{What: "--key FILE is needed; dsk keygen makes one"}
	}
	b, err := bundle.Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	// A signature vouches for every byte, so every byte is checked first.
	if err := b.Verify(ctx, bundle.VerifyOptions{}); err != nil {
		return err
	}
	if err := signBundle(b, key, passwordFile); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = saveFile(filepath.Join(path, bundle.SignatureFile), func(w io.Writer) error { _, err := w.Write(b.Signature); return err })
	} else {
		err = errors.Join(saveFile(path, func(w io.Writer) error { return pack.Executable(b, w) }), os.Chmod(path, info.Mode().Perm()))
	}
	if err != nil {
		return err
	}
	if a.json {
		a.printJSON("sign", struct {
			ID string `json:"id"`
		}{b.Manifest.ID})
		return nil
	}
	a.print("%s: signed, id %s", path, b.Manifest.ID)
	return nil
}

func (a *app) keygenCommand() *cobra.Command {
	var passwordFile string
	var forAge bool
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make a pair of keys: NAME.key to sign with, NAME.pub to trust",
		Long: `Make a pair of keys in minisign's format: NAME.key, for the owner's eyes only (mode 0600), and
NAME.pub. Existing files are never replaced; the secret key is never printed.

  dsk keygen ~/.dsk/boards
  dsk keygen ~/.dsk/kitchen --age

With --age it is the key of a board that encrypted models are made for, in age's format: NAME.age
for the board only, and the recipient for dsk package --encrypt-to.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			password, err := readPassword(passwordFile)
			if err != nil {
				return err
			}
			generate, secret, open := pack.GenerateKey, ".key", ".pub"
			if forAge {
				if password != "" {
					return &fault.Usage{What: "--password-file does not go with --age: a board has to read its key on its own"}
				}
				generate, secret, open = pack.GenerateIdentity, ".age", ".age.pub"
			}
			public, err := generate(args[0], password)
			if err != nil {
				return err
			}
			if a.json {
				a.printJSON("keygen", struct {
					Public string `json:"public_key"`
				}{public})
				return nil
			}
			a.print("%s%s (secret), %s%s: %s", args[0], secret, args[0], open, public)
			return nil
		},
	}
	cmd.Flags().StringVar(&passwordFile, "password-file", "", "file with a password to encrypt the secret key with")
	cmd.Flags().BoolVar(&forAge, "age", false, "a key that models are encrypted for")
	return cmd
}
