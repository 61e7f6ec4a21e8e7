package dataset

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// openLabelled reads a folder whose labels.csv names files and labels. A label is a class number, or
// a name; names are numbered by classes.txt or in order.
func (d *Data) openLabelled(path string) error {
	d.kind = Images
	file := filepath.Join(path, "labels.csv")
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return &fault.Format{File: file, Offset: -1, Where: "table", Why: err.Error()}
	}
	if len(rows) > 0 && len(rows[0]) > 1 && rows[0][0] == "file" {
		rows = rows[1:]
	}
	for _, dir := range []string{path, filepath.Dir(path)} {
		if names, err := readLines(filepath.Join(dir, "classes.txt")); err == nil {
			d.classes = names
			break
		}
	}
	var names []string
	numeric := true
	for i, row := range rows {
		if len(row) < 2 {
			return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("row %d", i+1), Why: "it has no label", Next: "each row is file,label"}
		}
		if n, err := strconv.Atoi(row[1]); err != nil || n < 0 {
			numeric = false
		}
		names = append(names, row[1])
	}
	if !numeric && d.classes == nil {
		d.classes = unique(names)
	}
	for i, row := range rows {
		var label int
		if numeric {
			label, _ = strconv.Atoi(row[1])
		} else if label = indexOf(d.classes, row[1]); label < 0 {
			return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("row %d", i+1),
				Why: fmt.Sprintf("label %q is not in classes.txt", row[1]), Next: "add it there, or number the labels"}
		}
		d.items = append(d.items, item{path: filepath.Join(path, filepath.FromSlash(row[0])), label: label})
	}
	return nil
}

// openClassFolders reads one subfolder of images for each class, classes in the order of their names.
func (d *Data) openClassFolders(folders []string) error {
	d.kind = Images
	sort.Strings(folders)
	for label, dir := range folders {
		d.classes = append(d.classes, filepath.Base(dir))
		entries, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("data: %w", err)
		}
		for _, e := range entries {
			if isImage(e.Name()) {
				d.items = append(d.items, item{path: filepath.Join(dir, e.Name()), label: label})
			}
		}
	}
	return nil
}

// openYOLO reads images/ and labels/ (a line a box: class cx cy w h, as fractions of the image) and
// the class names of config.yaml.
func (d *Data) openYOLO(path string) error {
	d.kind = Detection
	d.classes = yamlNames(filepath.Join(path, "config.yaml"))
	entries, err := os.ReadDir(filepath.Join(path, "images"))
	if err != nil {
		return fmt.Errorf("data: %w", err)
	}
	for _, e := range entries {
		if !isImage(e.Name()) {
			continue
		}
		it := item{path: filepath.Join(path, "images", e.Name()), label: -1}
		stem := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		file := filepath.Join(path, "labels", stem+".txt")
		lines, err := readLines(file)
		if err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("data: %w", err)
		}
		for i, line := range lines {
			var c int
			var cx, cy, w, h float32
			if _, err := fmt.Sscan(line, &c, &cx, &cy, &w, &h); err != nil {
				return &fault.Format{File: file, Offset: -1, Where: fmt.Sprintf("line %d", i+1), Why: err.Error(), Next: "a line is: class cx cy w h"}
			}
			it.boxes = append(it.boxes, Box{c, cx - w/2, cy - h/2, cx + w/2, cy + h/2})
		}
		d.items = append(d.items, it)
	}
	return nil
}

// yamlNames reads the "names:" map or list of a YOLO configuration; nil if there is none.
func yamlNames(path string) []string {
	lines, err := readLines(path)
	if err != nil {
		return nil
	}
	var names []string
	in := false
	for _, line := range lines {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "names:":
			in = true
		case in && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "-")):
			_, name, ok := strings.Cut(trimmed, ":")
			if !ok {
				name = strings.TrimPrefix(trimmed, "-")
			}
			names = append(names, strings.Trim(strings.TrimSpace(name), `"'`))
		case trimmed != "":
			in = false
		}
	}
	return names
}

// readLines returns a file's lines that are not blank.
func readLines(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

func unique(names []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	sort.Strings(out)
	return out
}

func indexOf(list []string, s string) int {
	for i, x := range list {
		if x == s {
			return i
		}
	}
	return -1
}
