package safetensors

import (
	"encoding/json"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
)

// multilingualVocab is the least vocabulary of Whisper's models of many languages.
const multilingualVocab = 51865

// addSpeech reads preprocessor_config.json, which says how a sound becomes input_features, and what generation_config.json says of the tokens
// that come, and keeps both in the form that models carry (audio.Settings).
func (r *Report) addSpeech(dir string, m *model.Model) error {
	const name = "preprocessor_config.json"
	c, err := r.optionalConfig(dir, name)
	if err != nil || c == nil {
		if err == nil {
			r.warn("there is no %s: the model takes features, not sounds", name)
		}
		return err
	}
	s := map[string]any{"sampling_rate": c.countOr("sampling_rate", 16000), "n_fft": c.countOr("n_fft", 400), "hop_length": c.countOr("hop_length", 160),
		"feature_size": c.countOr("feature_size", 80)}
	if c.number("dither", 0) != 0 {
		c.unsupported("dither", "features with noise added are not made")
	}
	if err := c.err(); err != nil {
		return fault.InFile(err, filepath.Join(dir, name))
	}
	const generation = "generation_config.json"
	g, err := r.optionalConfig(dir, generation)
	if err != nil {
		return err
	}
	multilingual := m.Meta.LM.VocabSize >= multilingualVocab
	if g != nil {
		_, languages := g.raw("lang_to_id")
		multilingual = g.flag("is_multilingual", multilingual || languages)
		for to, from := range map[string]string{"suppress": "suppress_tokens", "begin_suppress": "begin_suppress_tokens"} {
			if ids := g.ids(from, m.Meta.LM.VocabSize); len(ids) > 0 {
				s[to] = ids
			}
		}
		if err := g.err(); err != nil {
			return fault.InFile(err, filepath.Join(dir, generation))
		}
	}
	s["multilingual"] = multilingual
	m.Assets[model.AssetAudio], err = json.Marshal(s)
	return err
}

// optionalConfig reads a JSON object beside the weights, nil if there is none.
func (r *Report) optionalConfig(dir, name string) (*config, error) {
	data, err := readFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := readConfig(data)
	return c, fault.InFile(err, filepath.Join(dir, name))
}

// takesSounds reports whether a graph reads the spectrum of a sound.
func takesSounds(g *model.Graph) bool {
	for _, v := range g.Inputs {
		if strings.HasPrefix(v.Name, "input_features") {
			return true
		}
	}
	return false
}
