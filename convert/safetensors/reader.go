package safetensors

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

const (
	singleFile = "model.safetensors"
	indexFile  = "model.safetensors.index.json"
	// maxShards caps the files of one checkpoint.
	maxShards = 4096
	// maxJSON caps the size of the JSON and text files beside the weights.
	maxJSON = 1 << 28
)

// checkpoint is the weights of a folder: one file, or several with an index.
type checkpoint struct {
	files   []*weightFile
	tensors map[string]weight
	unused  map[string]bool // not asked for so far
	random  bool            // has every tensor that is asked for; see Random
}

type weightFile struct {
	path    string
	mapping *tensor.Mapping
}

// weight is a tensor and the file that it lies in.
type weight struct {
	Entry
	file *weightFile
	// read makes rows of weights that do not lie in the file as they are, and transposed says how, as in Tensor.
	read       func(dst []byte, first int) error
	transposed bool
}

// openCheckpoint maps the weights of a folder.
func openCheckpoint(dir string) (*checkpoint, []string, error) {
	names, index, warnings, err := weightFiles(dir)
	if err != nil {
		return nil, nil, err
	}
	c := &checkpoint{tensors: map[string]weight{}, unused: map[string]bool{}}
	for _, name := range names {
		if err := c.add(filepath.Join(dir, name), ""); err != nil {
			c.close()
			return nil, nil, err
		}
	}
	if err := c.checkIndex(index, filepath.Join(dir, indexFile)); err != nil {
		c.close()
		return nil, nil, err
	}
	return c, warnings, nil
}

// weightFiles names the weight files of a folder in order, and what the index says lies where.
func weightFiles(dir string) (names []string, index map[string]string, warnings []string, err error) {
	data, err := readFile(dir, indexFile)
	switch {
	case err == nil:
		if index, err = readIndex(data); err != nil {
			return nil, nil, nil, fault.InFile(err, filepath.Join(dir, indexFile))
		}
		set := map[string]bool{}
		var missing []string
		for _, file := range index {
			if set[file] {
				continue
			}
			set[file] = true
			names = append(names, file)
			if _, err := os.Stat(filepath.Join(dir, file)); errors.Is(err, fs.ErrNotExist) {
				missing = append(missing, file)
			}
		}
		sort.Strings(names)
		sort.Strings(missing)
		if len(missing) > 0 {
			e := fault.Formatf("", "the index names files that are not there: %s", strings.Join(missing, ", "))
			e.File, e.Next = filepath.Join(dir, indexFile), "download the whole checkpoint"
			return nil, nil, nil, e
		}
		return names, index, nil, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, singleFile)); err == nil {
		return []string{singleFile}, nil, nil, nil
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
	if err != nil || len(found) == 0 {
		e := fault.Formatf("", "there is no %s and no %s", singleFile, indexFile)
		e.File, e.Next = dir, "name a folder with a Hugging Face checkpoint in safetensors form"
		return nil, nil, nil, e
	}
	if len(found) > 1 {
		e := fault.Formatf("", "%d weight files but no %s", len(found), indexFile)
		e.File, e.Next = dir, "add the index that belongs to the checkpoint"
		return nil, nil, nil, e
	}
	name := filepath.Base(found[0])
	return []string{name}, nil, []string{fmt.Sprintf("the weights are read from %s: there is no %s", name, singleFile)}, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// readIndex reads tensor name -> file name.
func readIndex(data []byte) (map[string]string, error) {
	var index struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, fault.Formatf("", "%v", err)
	}
	if len(index.WeightMap) == 0 {
		return nil, fault.Formatf("weight_map", "it names no tensor")
	}
	files := map[string]bool{}
	for name, file := range index.WeightMap {
		// Only names in the same folder: anything else would read files that the user did not name.
		if file == "" || file != filepath.Base(file) || file == "." || file == ".." || strings.ContainsAny(file, `/\:`) {
			return nil, fault.Formatf("weight_map", "tensor %s lies in %q, which is no plain file name", name, file)
		}
		files[file] = true
	}
	if len(files) > maxShards {
		return nil, fault.Formatf("weight_map", "%d files are above the limit of %d", len(files), maxShards)
	}
	return index.WeightMap, nil
}

// add maps one file and takes its tensors in, with prefix before their names.
func (c *checkpoint) add(path, prefix string) error {
	mapping, err := tensor.Map(path)
	if err != nil {
		return err
	}
	f := &weightFile{path, mapping}
	c.files = append(c.files, f)
	entries, _, err := ReadHeader(mapping.Data)
	if err != nil {
		return fault.InFile(err, path)
	}
	for _, e := range entries {
		e.Name = prefix + e.Name
		if other, ok := c.tensors[e.Name]; ok {
			return fault.InFile(fault.Formatf("tensor "+e.Name, "it is in %s, too", filepath.Base(other.file.path)), path)
		}
		c.tensors[e.Name] = weight{Entry: e, file: f}
		c.unused[e.Name] = true
	}
	return nil
}

func (c *checkpoint) checkIndex(index map[string]string, path string) error {
	var wrong []string
	for name, file := range index {
		if w, ok := c.tensors[name]; !ok || filepath.Base(w.file.path) != file {
			wrong = append(wrong, name)
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	sort.Strings(wrong)
	return fault.InFile(fault.Formatf("weight_map", "tensors are not in the files that it names: %s", some(wrong)), path)
}

// some lists names, the first ten of many.
func some(names []string) string {
	if len(names) <= 10 {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
}

// sources describes the weight files; it reads them once, front to back.
func (c *checkpoint) sources(ctx context.Context) ([]model.SourceFile, error) {
	var out []model.SourceFile
	for _, f := range c.files {
		const block = 1 << 24
		h := sha256.New()
		data := f.mapping.Data
		f.mapping.Advise(tensor.AdviceSequential, 0, len(data))
		for at := 0; at < len(data); at += block {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			n := min(block, len(data)-at)
			h.Write(data[at : at+n])
			f.mapping.Advise(tensor.AdviceDontNeed, at, n)
		}
		f.mapping.Advise(tensor.AdviceNormal, 0, len(data))
		out = append(out, model.SourceFile{Name: filepath.Base(f.path), Bytes: int64(len(data)), SHA256: hex.EncodeToString(h.Sum(nil))})
	}
	return out, nil
}

func (c *checkpoint) close() error {
	var errs []error
	for _, f := range c.files {
		errs = append(errs, f.mapping.Close())
	}
	return errors.Join(errs...)
}

// readFile reads a small file of the folder.
func readFile(dir, name string) ([]byte, error) {
	path := filepath.Join(dir, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	if info.Size() > maxJSON {
		return nil, fault.InFile(fault.Formatf("", "%d bytes are above the limit of %d", info.Size(), maxJSON), path)
	}
	return os.ReadFile(path)
}
