package distill

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/x448/float16"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/kernels"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/tensor"
)

// A folder of labels holds
//
//	labels.json         LabelInfo
//	assets/             what of the teacher's assets a student needs: tokenizer.json, preprocess.json, labels.txt; and lm.json, the
//	                    teacher's model.LMInfo
//	shards/HASH.zst     the labels of some samples; HASH is the SHA-256 of what it unpacks to
//	index.txt           the hash of shard i in line i; shards that are not in it yet are yet to be made
//
// A shard has for each row, little-endian: the K likeliest classes (uint16, or uint32 if there are more than 65536), the natural
// logarithms of their probabilities (float16), the probability of all other classes together (float16).
const (
	labelsFile    = "labels.json"
	indexFile     = "index.txt"
	shardFolder   = "shards"
	assetFolder   = "assets"
	assetLM       = "lm.json"
	labelsVersion = 1
	maxLabelBytes = 1 << 40 // of all shards, unpacked
)

// studentAssets are the assets that a student takes over from its teacher.
var studentAssets = []string{model.AssetTokenizer, model.AssetTokenGolden, model.AssetPreprocess, model.AssetLabels}

// LabelInfo says what labels were recorded of.
type LabelInfo struct {
	Version     int     `json:"version"`
	Teacher     string  `json:"teacher"`
	TeacherHash string  `json:"teacher_sha256"`
	Data        string  `json:"data"`
	DataHash    string  `json:"data_sha256"`
	Samples     int     `json:"samples"`
	Rows        int     `json:"rows"` // of a sample: 1 for a picture, the positions of a window of text
	Classes     int     `json:"classes"`
	K           int     `json:"k"`
	Temperature float64 `json:"temperature"`
	// Views is how many random forms of each sample are labelled; 0: the sample as it is.
	Views     int     `json:"views"`
	Augment   Augment `json:"augment"`
	Seed      uint64  `json:"seed"`
	ShardSize int     `json:"shard_samples"`
	// Input is the channels, height and width of pictures as the teacher takes them.
	Input [3]int `json:"input"`
}

// classBytes is the width of a class's number.
func (n *LabelInfo) classBytes() int {
	if n.Classes > 1<<16 {
		return 4
	}
	return 2
}

// rowBytes is the length of a row in a shard.
func (n *LabelInfo) rowBytes() int { return n.K*(n.classBytes()+2) + 2 }

// perView is how many shards a view has.
func (n *LabelInfo) perView() int { return (n.Samples + n.ShardSize - 1) / n.ShardSize }

// shards is how many shards there are.
func (n *LabelInfo) shards() int { return n.perView() * max(n.Views, 1) }

// span returns the samples of a shard.
func (n *LabelInfo) span(shard int) (view, lo, hi int) {
	lo = shard % n.perView() * n.ShardSize
	return shard / n.perView(), lo, min(lo+n.ShardSize, n.Samples)
}

// check refuses numbers that no recording writes.
func (n *LabelInfo) check() error {
	if n.Version != labelsVersion {
		return fmt.Errorf("version %d is not known", n.Version)
	}
	for _, v := range []int{n.Samples, n.Rows, n.Classes, n.K, n.ShardSize} {
		if v < 1 || v > 1<<31-1 {
			return fmt.Errorf("a number is %d", v)
		}
	}
	if n.K > n.Classes || n.Views < 0 || n.Views > 1<<20 || n.Temperature <= 0 {
		return fmt.Errorf("k=%d of %d classes, %d views, temperature %g", n.K, n.Classes, n.Views, n.Temperature)
	}
	bytes := int64(n.K)*int64(n.classBytes()+2) + 2
	for _, f := range []int{n.Rows, n.Samples, max(n.Views, 1)} {
		if bytes > maxLabelBytes/int64(f) {
			return fmt.Errorf("%d samples in %d views of %d rows are more than any recording has", n.Samples, n.Views, n.Rows)
		}
		bytes *= int64(f)
	}
	return nil
}

// Labels are a teacher's recorded labels, in memory.
type Labels struct {
	Info   LabelInfo
	Assets map[string][]byte
	data   [][]byte // of each shard
}

// OpenLabels reads a folder that RecordLabels wrote. Everything is checked against its hash.
func OpenLabels(path string) (*Labels, error) {
	l := &Labels{Assets: map[string][]byte{}}
	var err error
	if l.Info, err = readInfo(path); err != nil {
		return nil, err
	}
	n := &l.Info
	hashes, err := readIndex(path)
	if err != nil {
		return nil, err
	}
	if len(hashes) < n.shards() {
		return nil, &fault.Usage{What: fmt.Sprintf("%s is unfinished: %d of %d shards; dsk distill labels goes on with it", path, len(hashes), n.shards())}
	}
	if err := tensor.Room(n.Samples*max(n.Views, 1)*n.Rows*n.rowBytes(), "the labels"); err != nil {
		return nil, err
	}
	r, err := newShards(path, n)
	if err != nil {
		return nil, err
	}
	defer r.dec.Close()
	for i := range n.shards() {
		body, err := r.read(i, hashes[i])
		if err != nil {
			return nil, err
		}
		l.data = append(l.data, body)
	}
	for _, name := range append(slices.Clone(studentAssets), assetLM) {
		b, err := os.ReadFile(filepath.Join(path, assetFolder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("labels: %w", err)
		}
		l.Assets[name] = b
	}
	return l, nil
}

// shards reads the shards of a folder.
type shards struct {
	path string
	n    *LabelInfo
	dec  *zstd.Decoder // the caller closes it
}

func newShards(path string, n *LabelInfo) (*shards, error) {
	// No shard unpacks to more than a whole one has, but the limit is on a frame's window, too, and small frames state large ones.
	largest := max(min(n.ShardSize, n.Samples)*n.Rows*n.rowBytes(), 64<<20)
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(largest)))
	if err != nil {
		return nil, err
	}
	return &shards{path, n, dec}, nil
}

// read returns what shard i holds. What is missing or not what its name says is a *fault.Format.
func (r *shards) read(i int, hash string) ([]byte, error) {
	name := filepath.Join(r.path, shardFolder, hash+".zst")
	bad := func(why string) error {
		return &fault.Format{File: name, Offset: -1, Where: "labels", Why: why, Next: "dsk distill labels with the same flags as before makes it again"}
	}
	packed, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, bad("this shard is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	_, lo, hi := r.n.span(i)
	want := (hi - lo) * r.n.Rows * r.n.rowBytes()
	body, err := r.dec.DecodeAll(packed, make([]byte, 0, want))
	if err != nil {
		return nil, bad(err.Error())
	}
	if sum := sha256.Sum256(body); len(body) != want || hex.EncodeToString(sum[:]) != hash {
		return nil, bad("its contents are not those of its name")
	}
	return body, nil
}

// Pattern is what untrained students of the labels' teacher are made after.
func (l *Labels) Pattern() (*Pattern, error) {
	p := &Pattern{Assets: map[string][]byte{}, Target: Target{Channels: l.Info.Input[0], Height: l.Info.Input[1], Width: l.Info.Input[2], Classes: l.Info.Classes}}
	for _, name := range studentAssets {
		if b := l.Assets[name]; b != nil {
			p.Assets[name] = b
		}
	}
	if b := l.Assets[assetLM]; b != nil {
		p.lm = &model.LMInfo{}
		if err := json.Unmarshal(b, p.lm); err != nil {
			return nil, &fault.Format{Offset: -1, Where: assetLM, Why: err.Error(), Next: "record the labels again"}
		}
		p.Target.Vocab, p.Target.Context = p.lm.VocabSize, p.lm.ContextLength
	}
	return p, nil
}

func readInfo(path string) (LabelInfo, error) {
	var n LabelInfo
	b, err := os.ReadFile(filepath.Join(path, labelsFile))
	if err != nil {
		return n, fmt.Errorf("labels: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&n); err == nil {
		err = n.check()
		if err == nil {
			return n, nil
		}
		return n, &fault.Format{File: filepath.Join(path, labelsFile), Offset: -1, Where: "labels", Why: err.Error(), Next: "record the labels in another folder"}
	}
	return n, &fault.Format{File: filepath.Join(path, labelsFile), Offset: -1, Where: "labels", Why: "it is no description of labels",
		Next: "record the labels in another folder"}
}

// readIndex returns the hashes of the shards that are finished.
func readIndex(path string) ([]string, error) {
	b, err := os.ReadFile(filepath.Join(path, indexFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("labels: %w", err)
	}
	var list []string
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		line := s.Text()
		if len(line) != 2*sha256.Size || strings.Trim(line, "0123456789abcdef") != "" {
			break // cut off while it was written
		}
		list = append(list, line)
	}
	return list, nil
}

// fits reports why the labels are not those of a training, if they are not.
func (l *Labels) fits(c corpus, classes int, student *model.Model) error {
	if sum := c.hash(); hex.EncodeToString(sum[:]) != l.Info.DataHash {
		return &fault.Usage{What: fmt.Sprintf("the labels are of other data (%s) than this, or of another --ctx, --limit or --split", l.Info.Data)}
	}
	if classes != l.Info.Classes {
		return &fault.Usage{What: fmt.Sprintf("the labels have %d classes, the student has %d", l.Info.Classes, classes)}
	}
	return sameTokens(student.Assets, l.Assets)
}

// sameTokens refuses a student that cuts texts into other tokens than its teacher.
func sameTokens(student, teacher map[string][]byte) error {
	a, b := student[model.AssetTokenizer], teacher[model.AssetTokenizer]
	if a != nil && b != nil && !bytes.Equal(a, b) {
		return &fault.Usage{What: "the student's tokenizer is not the teacher's: their tokens cannot be compared"}
	}
	return nil
}

// reader turns recorded labels into those of a loss.
type reader struct {
	*Labels
	ratio float32 // of the recorded temperature to the loss's
	soft  Soft
}

// newReader returns a reader for batches of size samples at a temperature.
func (l *Labels) newReader(size int, temperature float64) (*reader, error) {
	n := &l.Info
	if temperature != n.Temperature && n.K < n.Classes {
		return nil, &fault.Usage{What: fmt.Sprintf("the labels hold the %d likeliest of %d classes at temperature %g, which says nothing of the others at %g: use --temperature %g, or record labels with --temperature %g or of all classes (--top-k %d)",
			n.K, n.Classes, n.Temperature, temperature, n.Temperature, temperature, n.Classes)}
	}
	rows := size * n.Rows
	return &reader{Labels: l, ratio: float32(n.Temperature / temperature),
		soft: Soft{K: n.K, Class: make([]int32, rows*n.K), P: make([]float32, rows*n.K)}}, nil
}

// read puts the labels of a sample in a view to a place of the batch.
func (r *reader) read(place, sample, view int) {
	n := &r.Info
	shard := view*n.perView() + sample/n.ShardSize
	size := n.rowBytes()
	data := r.data[shard][sample%n.ShardSize*n.Rows*size:]
	for i := range n.Rows {
		at := (place*n.Rows + i) * n.K
		r.row(r.soft.Class[at:at+n.K], r.soft.P[at:at+n.K], data[i*size:(i+1)*size])
	}
}

func (r *reader) row(class []int32, p []float32, row []byte) {
	width := r.Info.classBytes()
	for i := range class {
		if width == 4 {
			class[i] = int32(binary.LittleEndian.Uint32(row[4*i:]))
		} else {
			class[i] = int32(binary.LittleEndian.Uint16(row[2*i:]))
		}
	}
	row = row[width*len(class):]
	for i := range p {
		p[i] = float16.Frombits(binary.LittleEndian.Uint16(row[2*i:])).Float32()
	}
	if r.Info.K == r.Info.Classes {
		kernels.Scale(p, p, r.ratio)
		kernels.SoftmaxRow(p, p)
		return
	}
	kernels.Exp(p, p)
	// The rounding errors of the K and of the tail leave them a little off a sum of 1. The smaller part is the exact one: near 1 a float16 has
	// steps of 1/2048. What p leaves of 1 is the tail.
	if tail := float16.Frombits(binary.LittleEndian.Uint16(row[2*len(p):])).Float32(); tail <= 0.5 {
		kernels.Scale(p, p, (1-tail)/kernels.SumRow(p))
	}
}

// encodeRow appends a row in the form of a shard.
func (n *LabelInfo) encodeRow(dst []byte, class []int32, p []float32) []byte {
	for _, c := range class {
		if n.classBytes() == 4 {
			dst = binary.LittleEndian.AppendUint32(dst, uint32(c))
		} else {
			dst = binary.LittleEndian.AppendUint16(dst, uint16(c))
		}
	}
	var sum float64
	for _, v := range p {
		dst = binary.LittleEndian.AppendUint16(dst, float16.Fromfloat32(logOf(v)).Bits())
		sum += float64(v)
	}
	return binary.LittleEndian.AppendUint16(dst, float16.Fromfloat32(float32(max(1-sum, 0))).Bits())
}
