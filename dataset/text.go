package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxText bounds what a text file unpacks to, so that a small hostile .gz cannot fill the memory.
const maxText = 4 << 30

// openText adds a text file: plain, .gz, .jsonl, .csv or .tsv.
func (d *Data) openText(path string) error {
	d.kind = Text
	name := strings.TrimSuffix(strings.ToLower(path), ".gz")
	var parse func(io.Reader) ([]text, error)
	switch {
	case strings.HasSuffix(name, ".jsonl"):
		parse = readJSONL
	case strings.HasSuffix(name, ".csv"):
		parse = readCSV
	case strings.HasSuffix(name, ".tsv"):
		parse = readTSV
	default:
		d.texts = append(d.texts, text{path: path})
		return nil
	}
	b, err := readAll(path)
	if err != nil {
		return err
	}
	texts, err := parse(bytes.NewReader(b))
	if err != nil {
		var f *fault.Format
		if errors.As(err, &f) {
			f.File = path
		}
		return err
	}
	d.texts = append(d.texts, texts...)
	return nil
}

func (t *text) read() (string, error) {
	if t.path == "" {
		return t.body, nil
	}
	b, err := readAll(t.path)
	if err != nil {
		return "", err
	}
	if bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b) {
		return "", &fault.Format{File: t.path, Offset: -1, Where: "text", Why: "it is not UTF-8 text",
			Next: "convert it to UTF-8, or give the data in another form"}
	}
	return string(b), nil
}

// readAll reads a file, unpacking it if its name ends in .gz.
func readAll(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	if !strings.HasSuffix(strings.ToLower(path), ".gz") {
		b, err := io.ReadAll(f)
		if err != nil {
			return nil, fmt.Errorf("data: %w", err)
		}
		return b, nil
	}
	bad := func(err error) error {
		return &fault.Format{File: path, Offset: -1, Where: "gzip", Why: err.Error()}
	}
	z, err := gzip.NewReader(bufio.NewReader(f))
	if err != nil {
		return nil, bad(err)
	}
	b, err := readLimited(z, path)
	if err != nil && !errors.As(err, new(*fault.Resource)) {
		return nil, bad(err)
	}
	return b, err
}

// firstStep is unpacked without a look at how much memory there is.
const firstStep = 64 << 20

// readLimited unpacks at most maxText bytes, and no more than there is memory for.
func readLimited(r io.Reader, path string) ([]byte, error) {
	var out bytes.Buffer
	for next := int64(firstStep); ; next *= 2 {
		n, err := io.CopyN(&out, r, next-int64(out.Len()))
		switch {
		case errors.Is(err, io.EOF):
			return out.Bytes(), nil
		case err != nil:
			return nil, err
		case int64(out.Len()) > maxText:
			return nil, fmt.Errorf("it unpacks to more than %d bytes", int64(maxText))
		case n == 0:
			return out.Bytes(), nil
		}
		// The buffer grows by copying: the next step holds both.
		if err := tensor.Room(int(3*next), "unpacking "+path); err != nil {
			return nil, err
		}
	}
}

// readJSONL reads one object a line: text, or prompt and completion, or messages.
func readJSONL(r io.Reader) ([]text, error) {
	var out []text
	dec := json.NewDecoder(r)
	for line := 1; ; line++ {
		var v struct {
			Text, Prompt, Completion string
			Messages                 []struct{ Role, Content string }
		}
		if err := dec.Decode(&v); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, &fault.Format{Offset: dec.InputOffset(), Where: fmt.Sprintf("object %d", line), Why: err.Error(),
				Next: `each line must be an object with "text", "prompt" and "completion", or "messages"`}
		}
		body := v.Text + v.Prompt + v.Completion
		for _, m := range v.Messages {
			body += m.Role + ": " + m.Content + "\n"
		}
		out = append(out, text{body: body})
	}
}

// readCSV reads a table with commas and quotes (RFC 4180).
func readCSV(r io.Reader) ([]text, error) {
	c := csv.NewReader(r)
	c.LazyQuotes = true
	c.FieldsPerRecord = -1
	rows, err := c.ReadAll()
	if err != nil {
		return nil, &fault.Format{Offset: -1, Where: "table", Why: err.Error()}
	}
	return tableTexts(rows), nil
}

// readTSV reads a table with tabs, in which quotes mean nothing.
func readTSV(r io.Reader) ([]text, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			rows = append(rows, strings.Split(line, "\t"))
		}
	}
	return tableTexts(rows), nil
}

// tableTexts finds the text and the label column by the header: "text" or "sentence" (else the first
// column), and "label" (else the last of several).
func tableTexts(rows [][]string) []text {
	if len(rows) == 0 {
		return nil
	}
	textCol, labelCol := 0, -1
	if len(rows[0]) > 1 {
		labelCol = len(rows[0]) - 1
	}
	header := false
	for i, name := range rows[0] {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "text", "sentence":
			textCol, header = i, true
		case "label", "labels", "class":
			labelCol, header = i, true
		}
	}
	if header {
		rows = rows[1:]
	}
	var out []text
	for _, row := range rows {
		if textCol >= len(row) {
			continue
		}
		t := text{body: row[textCol]}
		if labelCol >= 0 && labelCol < len(row) {
			t.label = row[labelCol]
		}
		out = append(out, t)
	}
	return out
}
