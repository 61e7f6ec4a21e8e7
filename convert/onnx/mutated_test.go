package onnx

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// mutations is how many damaged files TestMutatedFiles imports.
const mutations = 1000

// TestMutatedFiles damages models of the backend suite, all kinds of operators among them, at random bytes. What comes of it is a
// model, a *fault.Format or a *fault.Unsupported; never a panic, and never a wait.
func TestMutatedFiles(t *testing.T) {
	models := suiteModels(t)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range mutations {
		source := models[i*len(models)/mutations]
		data := append([]byte(nil), source.data...)
		for range 1 + random.IntN(8) {
			at := random.IntN(len(data))
			switch random.IntN(4) {
			case 0:
				data[at] ^= 1 << random.IntN(8)
			case 1:
				data[at] = byte(random.Uint32())
			case 2:
				data = append(data[:at], data[min(len(data), at+1+random.IntN(8)):]...)
			default:
				data = append(data[:at], append([]byte{byte(random.Uint32())}, data[at:]...)...)
			}
			if len(data) == 0 {
				break
			}
		}
		name := fmt.Sprintf("mutation %d, of %s", i, source.name)
		watch := time.AfterFunc(10*time.Second, func() { panic("hang: " + name) })
		m, _, err := importBytes(data, Options{})
		watch.Stop()
		var format *fault.Format
		var unsupported *fault.Unsupported
		var resource *fault.Resource
		switch {
		case err == nil:
			if err := m.Graph.Check(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case !errors.As(err, &format) && !errors.As(err, &unsupported) && !errors.As(err, &resource):
			t.Errorf("%s: unclassed error %v", name, err)
		}
	}
}

type namedModel struct {
	name string
	data []byte
}

// suiteModels reads the model files of the ONNX backend suite that are not large.
func suiteModels(t *testing.T) []namedModel {
	t.Helper()
	f, err := os.Open("../../../shared/onnx/node-tests-open.tar.gz")
	if err != nil {
		t.Skip("../shared is absent: its models are not damaged")
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var models []namedModel
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return models
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, "model.onnx") || h.Size == 0 || h.Size > 1<<16 {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, namedModel{filepath.Base(filepath.Dir(h.Name)), data})
	}
}
