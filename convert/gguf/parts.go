package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/tensor"
)

// maxParts caps the files of one model.
const maxParts = 4096

// partName is what the parts of a model that was split are called: their numbers, from 1 on, and how many there are.
var partName = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})(\.gguf)$`)

// sourceFile is one file of a model.
type sourceFile struct {
	path    string
	mapping *tensor.Mapping
}

// openParts maps a file and, if it is one part of a model, whichever it is, the others beside it; the first comes first. The metadata are those
// of the first part, the tensors those of all.
func openParts(path string) (f *File, files []sourceFile, err error) {
	defer func() {
		if err != nil {
			closeParts(files)
			files = nil
		}
	}()
	one, err := mapPart(path, &files)
	if err != nil {
		return nil, files, err
	}
	count, _ := one.count("split.count")
	if count <= 1 {
		return one, files, nil
	}
	names, err := partNames(path, count)
	if err != nil {
		return nil, files, fault.InFile(err, path)
	}
	closeParts(files)
	files = nil
	seen := map[string]int{}
	for i, name := range names {
		part, err := mapPart(name, &files)
		if err == nil {
			err = part.isPart(i, count)
		}
		if err != nil {
			return nil, files, fault.InFile(err, name)
		}
		for j := range part.Tensors {
			t := &part.Tensors[j]
			if first, twice := seen[t.Name]; twice {
				return nil, files, fault.InFile(fault.Formatf("tensor "+t.Name, "part %d has it too", first+1), name)
			}
			seen[t.Name], t.part = i, i
		}
		if i == 0 {
			f = part
		} else {
			f.Tensors = append(f.Tensors, part.Tensors...)
		}
	}
	if total, ok := f.count("split.tensors.count"); ok && total != len(f.Tensors) {
		return nil, files, fault.InFile(fault.Formatf("metadata split.tensors.count", "it is %d, but the %d parts have %d tensors", total, count, len(f.Tensors)), path)
	}
	return f, files, nil
}

// partNames returns the paths of all parts of the model that a file is a part of. All that are missing are named at once.
func partNames(path string, count int) ([]string, error) {
	dir, base := filepath.Split(path)
	m := partName.FindStringSubmatch(base)
	if m == nil {
		e := fault.Formatf("metadata split.count", "the file is one of %d parts, but its name does not end in -00001-of-%05d.gguf", count, count)
		e.Next = "give all parts the names that they were published with"
		return nil, e
	}
	if n, err := strconv.Atoi(m[3]); err != nil || n != count || count > maxParts {
		return nil, fault.Formatf("metadata split.count", "it says %d parts, the name %s", count, m[3])
	}
	var names, missing []string
	for i := range count {
		name := filepath.Join(dir, fmt.Sprintf("%s-%05d-of-%s%s", m[1], i+1, m[3], m[4]))
		if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, filepath.Base(name))
		}
		names = append(names, name)
	}
	if len(missing) > 0 {
		e := fault.Formatf("", "%d of its %d parts are missing: %s", len(missing), count, strings.Join(missing, ", "))
		e.Next = "put all parts into one folder"
		return nil, e
	}
	return names, nil
}

// isPart checks that a file calls itself part i of count.
func (f *File) isPart(i, count int) error {
	n, ok := f.count("split.count")
	if no, ok2 := f.count("split.no"); !ok || !ok2 || n != count || no != i {
		return fault.Formatf("metadata split.no", "the file is no part %d of %d", i+1, count)
	}
	return nil
}

// mapPart maps and reads one file, and adds it to files.
func mapPart(path string, files *[]sourceFile) (*File, error) {
	mapping, err := tensor.Map(path)
	if err != nil {
		return nil, err
	}
	*files = append(*files, sourceFile{path, mapping})
	f, err := Read(mapping.Data)
	return f, fault.InFile(err, path)
}

func closeParts(files []sourceFile) {
	for _, f := range files {
		f.mapping.Close()
	}
}
