package dataset

import (
	"encoding/binary"
	"fmt"
	"image"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// idxFiles returns the name of the images file of an IDX pair for the split; without a split the
// test set is preferred. "" if there is none.
func idxFiles(entries []fs.DirEntry, split string) string {
	prefixes := []string{split}
	if split == "" {
		prefixes = []string{"test", "t10k", "train"}
	} else if split == "test" {
		prefixes = []string{"test", "t10k"}
	}
	for _, p := range prefixes {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), p) && strings.Contains(e.Name(), "-images") && strings.Contains(e.Name(), "idx3") {
				return e.Name()
			}
		}
	}
	return ""
}

// openIDX reads a pair of MNIST files (http://yann.lecun.com/exdb/mnist/): big-endian counts, then bytes.
func (d *Data) openIDX(dir, images string) error {
	d.kind = Images
	d.name += "/" + strings.SplitN(images, "-", 2)[0]
	pix, dims, err := readIDX(filepath.Join(dir, images), 3)
	if err != nil {
		return err
	}
	name := strings.Replace(strings.Replace(images, "-images", "-labels", 1), "idx3", "idx1", 1)
	labels, counts, err := readIDX(filepath.Join(dir, name), 1)
	if err != nil {
		return err
	}
	if counts[0] != dims[0] {
		return &fault.Format{File: filepath.Join(dir, name), Offset: 4, Where: "IDX", Why: fmt.Sprintf("%d labels for %d images", counts[0], dims[0])}
	}
	h, w := dims[1], dims[2]
	if h == 0 || w == 0 {
		return &fault.Format{File: filepath.Join(dir, images), Offset: 8, Where: "IDX", Why: fmt.Sprintf("images of %d x %d pixels", w, h)}
	}
	for i, label := range labels {
		d.items = append(d.items, item{label: int(label),
			gray: &image.Gray{Pix: pix[i*h*w : (i+1)*h*w], Stride: w, Rect: image.Rect(0, 0, w, h)}})
	}
	return nil
}

// readIDX reads a file of unsigned bytes with the given rank.
func readIDX(path string, rank int) (data []byte, dims []int, err error) {
	b, err := readAll(path)
	if err != nil {
		return nil, nil, err
	}
	bad := func(why string) error {
		return &fault.Format{File: path, Offset: 0, Where: "IDX", Why: why}
	}
	head := 4 + 4*rank
	if len(b) < head || b[0] != 0 || b[1] != 0 || b[2] != 8 || int(b[3]) != rank {
		return nil, nil, bad("it is no IDX file of bytes with the expected rank")
	}
	size := uint64(1)
	for i := range rank {
		n := binary.BigEndian.Uint32(b[4+4*i:])
		dims = append(dims, int(n))
		if size *= uint64(n); size > uint64(len(b)) {
			return nil, nil, bad("its counts exceed its size")
		}
	}
	if size != uint64(len(b)-head) {
		return nil, nil, bad(fmt.Sprintf("it holds %d bytes where its counts say %d", len(b)-head, size))
	}
	return b[head:], dims, nil
}
