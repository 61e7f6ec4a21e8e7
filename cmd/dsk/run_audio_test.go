package main

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// speechModel converts the tiny reference model of speech with what published ones have beside their weights: a window is 40 frames of
// 10 ms, English and German are known, and every token that is text is one word.
func speechModel(t *testing.T) string {
	t.Helper()
	source := filepath.Join("..", "..", "..", "shared", "models", "arch-golden", "whisper")
	if _, err := os.Stat(source); err != nil {
		t.Skip("../shared/models/arch-golden/whisper is not there")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	vocab, added := map[string]int{}, []map[string]any{}
	special := []string{"<|pad|>", "<|bos|>", "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"}
	for i := range 150 {
		name := "Ġ" + string([]rune{rune('a' + i%26), rune('a' + i/26)})
		if i < len(special) {
			name = special[i]
			added = append(added, map[string]any{"id": i, "content": name, "special": true})
		}
		vocab[name] = i
	}
	for name, v := range map[string]any{
		"tokenizer.json": map[string]any{"added_tokens": added, "model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
			"decoder": map[string]any{"type": "ByteLevel"}},
		"preprocessor_config.json": map[string]any{"feature_size": 12, "hop_length": 160, "n_fft": 400, "sampling_rate": 16000},
		"generation_config.json":   map[string]any{"is_multilingual": true, "suppress_tokens": []int{30, 31}, "begin_suppress_tokens": []int{40, 2}},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "speech.dsk")
	if code, _, errs := runDsk("convert", dir, "-o", path); code != 0 {
		t.Fatalf("convert: exit code %d, %s", code, errs)
	}
	return path
}

// recording writes a tone as a WAV file of 16-bit samples.
func recording(t *testing.T, name string, rate int, seconds, hertz float64) string {
	t.Helper()
	body := make([]byte, 2*int(seconds*float64(rate)))
	for i := range len(body) / 2 {
		v := 0.5 * math.Sin(2*math.Pi*hertz*float64(i)/float64(rate))
		binary.LittleEndian.PutUint16(body[2*i:], uint16(int16(math.Round(v*32767))))
	}
	head := []byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00")
	head = binary.LittleEndian.AppendUint32(head, uint32(rate))
	head = binary.LittleEndian.AppendUint32(head, uint32(2*rate))
	head = append(head, "\x02\x00\x10\x00data"...)
	head = binary.LittleEndian.AppendUint32(head, uint32(len(body)))
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, append(head, body...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRunRecordings: recordings in, a line for each window out.
func TestRunRecordings(t *testing.T) {
	path := speechModel(t)
	short, long := recording(t, "short.wav", 16000, 0.3, 440), recording(t, "long.wav", 8000, 1.1, 700)
	type result struct {
		File, Language, Text string
		Seconds              float64
		Segments             []struct {
			Start, End float64
			Text       string
		}
	}
	run := func(args ...string) []result {
		t.Helper()
		code, out, errs := runDsk(append([]string{"run", path, "--json", "-n", "6"}, args...)...)
		if code != 0 {
			t.Fatalf("exit code %d, %s", code, errs)
		}
		return decodeAs[struct{ Recordings []result }](t, []byte(out)).Recordings
	}
	both := run(short, long, "--language", "de")
	if len(both) != 2 || both[0].File != short || both[1].File != long || len(both[0].Segments) != 1 || len(both[1].Segments) < 3 {
		t.Fatalf("%+v", both)
	}
	lines := []string{}
	for i, r := range both {
		if seconds := []float64{0.3, 1.1}[i]; r.Language != "de" || math.Abs(r.Seconds-seconds) > 1e-9 || r.Segments[len(r.Segments)-1].End != r.Seconds {
			t.Errorf("%+v, want %g seconds of German", r, seconds)
		}
		lines = append(lines, r.File)
		end, texts := 0.0, []string{}
		for _, s := range r.Segments {
			if s.Start != end || s.End <= s.Start || s.End-s.Start > 0.4+1e-9 || len(strings.Fields(s.Text)) > 6 || strings.Contains(s.Text, "<|") {
				t.Errorf("segment %+v behind %g", s, end)
			}
			end = s.End
			texts = append(texts, s.Text)
			if s.Text != "" {
				lines = append(lines, s.Text)
			}
		}
		if want := strings.Join(strings.Fields(strings.Join(texts, " ")), " "); r.Text != want || want == "" {
			t.Errorf("text %q, want %q", r.Text, want)
		}
	}
	if code, out, errs := runDsk("run", path, short, long, "--language", "de", "-n", "6", "-j", "1"); code != 0 || !slices.Equal(strings.Split(strings.TrimSpace(out), "\n"), lines) {
		t.Errorf("exit code %d, %q, want %q; %s", code, out, lines, errs)
	}
	// One thing of a recording does not change another, the task is part of the prompt, and the language is found out.
	if alone := run(long, "--language", "de"); alone[0].Text != both[1].Text {
		t.Errorf("alone the text is %q, not %q", alone[0].Text, both[1].Text)
	}
	if r := run(long)[0]; r.Language != "de" && r.Language != "en" {
		t.Errorf("language %q", r.Language)
	}
	if en := run(long, "--language", "en", "--task", "translate"); en[0].Text == both[1].Text {
		t.Error("language and task make no difference")
	}
	broken := filepath.Join(t.TempDir(), "broken.wav")
	if err := os.WriteFile(broken, []byte("RIFF\x04\x00\x00\x00WAVE"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, exitUsage, "give a recording"}, {[]string{short, "--language", "tlh"}, exitUsage, "tlh"}, {[]string{short, "--task", "sing"}, exitUsage, "sing"},
		{[]string{broken}, exitInput, "broken.wav"}, {[]string{short + ".nix"}, 1, "short.wav.nix"},
	} {
		if code, _, errs := runDsk(append([]string{"run", path}, c.args...)...); code != c.code || !strings.Contains(errs, c.says) {
			t.Errorf("%v: exit code %d, want %d with %q: %s", c.args, code, c.code, c.says, errs)
		}
	}
}
