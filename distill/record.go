package distill

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
)

// shardRows is about how many rows a shard has.
const shardRows = 1 << 13

func logOf(p float32) float32 { return float32(math.Log(max(float64(p), smallest))) }

// RecordLabels writes a teacher's labels of the data to a folder. Of o it takes TeacherHash, Batch, Context, TopK, Temperature,
// Augment, Views, Seed, Limit, Threads and Progress. A recording that was cut off goes on where it ended, and shards that are missing or
// damaged are made again; the files are the same then. A folder of other labels is a *fault.Usage.
func RecordLabels(ctx context.Context, m *model.Model, d *dataset.Data, path string, o Options) (*LabelInfo, error) {
	if err := o.defaults(m); err != nil {
		return nil, err
	}
	if o.Temperature == Auto {
		return nil, &fault.Usage{What: "labels are recorded at one temperature, which must be above 0"}
	}
	o.pool = kernels.NewPool(o.Threads)
	defer o.pool.Close()
	c, err := openCorpus(ctx, d, m, nil, &o)
	if err != nil {
		return nil, err
	}
	classes, err := classesOf(m)
	if err != nil {
		return nil, err
	}
	sum := c.hash()
	n := LabelInfo{Version: labelsVersion, Teacher: m.Meta.Name, TeacherHash: o.TeacherHash, Data: d.Name(), DataHash: hex.EncodeToString(sum[:]),
		Samples: c.samples(), Rows: c.rows(), Classes: classes, K: min(o.TopK, classes), Temperature: o.Temperature,
		Views: o.Views, Augment: o.Augment, Seed: o.Seed, ShardSize: max(shardRows/c.rows(), 1)}
	if p, ok := c.(*pictures); ok {
		n.Input = [3]int{p.student.channels, p.student.h, p.student.w}
	}
	done, err := beginLabels(path, &n, m)
	if err != nil {
		return nil, err
	}
	size := min(o.Batch, n.Samples)
	t, err := newTeacher(m, size, n.Rows, n.K, n.Temperature, nil, &o)
	if err != nil {
		return nil, err
	}
	defer t.close()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer func() { _ = enc.Close() }() // nothing is pending in it
	r, err := newShards(path, &n)
	if err != nil {
		return nil, err
	}
	defer r.dec.Close()
	b := c.batch(size)
	for shard := range n.shards() {
		if shard < len(done) {
			_, err := r.read(shard, done[shard])
			var damaged *fault.Format
			if err == nil {
				continue
			}
			if !errors.As(err, &damaged) {
				return nil, err
			}
		}
		body, err := t.shard(ctx, c, b, &n, shard, size, o.Progress)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(body)
		h := hex.EncodeToString(sum[:])
		if err := replaceFile(filepath.Join(path, shardFolder, h+".zst"), enc.EncodeAll(body, nil)); err != nil {
			return nil, err
		}
		if shard < len(done) {
			done[shard] = h
			err = writeIndex(path, done)
		} else {
			err = appendIndex(path, h)
		}
		if err != nil {
			return nil, err
		}
	}
	return &n, nil
}

// shard returns the labels of a shard's samples.
func (t *teacher) shard(ctx context.Context, c corpus, b *batch, n *LabelInfo, shard, size int, progress func(string, int64, int64)) ([]byte, error) {
	view, from, to := n.span(shard)
	body := make([]byte, 0, (to-from)*n.Rows*n.rowBytes())
	for lo := from; lo < to; lo += size {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		hi := min(lo+size, to)
		for i := range size { // a batch that is not full repeats its last sample
			s := min(lo+i, hi-1)
			if err := c.read(b, i, s, n.picks(view, s)); err != nil {
				return nil, err
			}
		}
		soft, _, err := t.label(ctx, b)
		if err != nil {
			return nil, err
		}
		for r := range (hi - lo) * n.Rows {
			body = n.encodeRow(body, soft.Class[r*n.K:(r+1)*n.K], soft.P[r*n.K:(r+1)*n.K])
		}
		if progress != nil {
			progress("labels", int64(view*n.Samples+hi), int64(n.Samples*max(n.Views, 1)))
		}
	}
	return body, nil
}

// beginLabels makes the folder, or finds what of it is done already.
func beginLabels(path string, n *LabelInfo, m *model.Model) ([]string, error) {
	have, err := readInfo(path)
	if err == nil {
		if list := n.otherThan(&have); list != nil {
			return nil, &fault.Usage{What: fmt.Sprintf("%s has other labels: %s; give another folder, or the same flags as before", path, strings.Join(list, ", "))}
		}
		*n = have
		for _, dir := range []string{"", shardFolder, assetFolder} {
			if err := removeFiles(filepath.Join(path, dir), replacing); err != nil {
				return nil, err
			}
		}
		hashes, err := readIndex(path)
		if err != nil {
			return nil, err
		}
		hashes = hashes[:min(len(hashes), n.shards())]
		return hashes, writeIndex(path, hashes) // without a line that was cut off
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, dir := range []string{shardFolder, assetFolder} {
		if err := os.MkdirAll(filepath.Join(path, dir), 0o755); err != nil {
			return nil, err
		}
	}
	for _, name := range studentAssets {
		if b := m.Assets[name]; b != nil {
			if err := replaceFile(filepath.Join(path, assetFolder, name), b); err != nil {
				return nil, err
			}
		}
	}
	if m.Meta.LM != nil {
		b, err := json.Marshal(m.Meta.LM)
		if err != nil {
			return nil, err
		}
		if err := replaceFile(filepath.Join(path, assetFolder, assetLM), b); err != nil {
			return nil, err
		}
	}
	b, err := json.MarshalIndent(n, "", " ")
	if err != nil {
		return nil, err
	}
	return nil, replaceFile(filepath.Join(path, labelsFile), append(b, '\n'))
}

// otherThan says what differs between labels that are wanted and those of a folder. The same data may have another name.
func (n *LabelInfo) otherThan(have *LabelInfo) []string {
	var list []string
	differs := func(different bool, format string, values ...any) {
		if different {
			list = append(list, fmt.Sprintf(format, values...))
		}
	}
	differs(have.TeacherHash != n.TeacherHash || have.Teacher != n.Teacher, "of another teacher (%s)", have.Teacher)
	differs(have.DataHash != n.DataHash, "of other data (%s), or of another part of it", have.Data)
	differs(have.Samples != n.Samples, "%d samples, not %d", have.Samples, n.Samples)
	differs(have.Rows != n.Rows, "windows of %d tokens, not %d", have.Rows, n.Rows)
	differs(have.K != n.K, "top-k %d, not %d", have.K, n.K)
	differs(have.Temperature != n.Temperature, "temperature %g, not %g", have.Temperature, n.Temperature)
	differs(have.Views != n.Views, "%d views, not %d", have.Views, n.Views)
	differs(have.Seed != n.Seed, "seed %d, not %d", have.Seed, n.Seed)
	differs(have.Augment != n.Augment, "pictures changed in another way (%+v)", have.Augment)
	same := *n
	same.Data = have.Data
	differs(list == nil && *have != same, "of another version of dsk")
	return list
}

// writeIndex makes the list of finished shards anew.
func writeIndex(path string, hashes []string) error {
	var b strings.Builder
	for _, h := range hashes {
		b.WriteString(h + "\n")
	}
	return replaceFile(filepath.Join(path, indexFile), []byte(b.String()))
}

// appendIndex adds a shard to the list.
func appendIndex(path, hash string) error {
	f, err := os.OpenFile(filepath.Join(path, indexFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(hash + "\n")
	return errors.Join(err, f.Close())
}

// removeFiles removes the files of a folder whose names match one of the patterns. The folder's own name may have anything in it.
func removeFiles(folder string, patterns ...string) error {
	list, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		for _, p := range patterns {
			if match, err := filepath.Match(p, e.Name()); err != nil {
				return err
			} else if !match {
				continue
			}
			if err := os.Remove(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// replacing is what files are called while they are written; a kill leaves them.
const replacing = ".dsk-*.tmp"

// replaceFile writes a file that appears whole or not at all.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), replacing)
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	// Without Sync a loss of power may leave the name without the contents.
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
