package audio

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"math/cmplx"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/convert/safetensors"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tensor"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// wav writes a WAV file of samples as put encodes each.
func wav(tag, channels, rate, bits int, body []byte) []byte {
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	put([]byte("RIFF"), uint32(0), []byte("WAVE"), []byte("LIST"), uint32(3), []byte("abc\x00"), []byte("fmt "))
	if tag == wavExtensible {
		put(uint32(40))
	} else {
		put(uint32(16))
	}
	put(uint16(tag), uint16(channels), uint32(rate), uint32(rate*channels*bits/8), uint16(channels*bits/8), uint16(bits))
	if tag == wavExtensible {
		put(uint16(22), uint16(bits), uint32(3), uint16(wavPCM), make([]byte, 14))
	}
	put([]byte("data"), uint32(len(body)), body)
	return b.Bytes()
}

func TestWAV(t *testing.T) {
	want := []float32{0, 0.5, -0.5, -1}
	encode := func(f func(v float64) any) []byte {
		var b bytes.Buffer
		for _, v := range want {
			x := f(float64(v))
			if wide, ok := x.(int64); ok { // 24 bits
				b.Write([]byte{byte(wide), byte(wide >> 8), byte(wide >> 16)})
				continue
			}
			if err := binary.Write(&b, binary.LittleEndian, x); err != nil {
				panic(err)
			}
		}
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		tag, bits int
		f         func(v float64) any
	}{
		"8":          {wavPCM, 8, func(v float64) any { return uint8(128 + 128*v) }},
		"16":         {wavPCM, 16, func(v float64) any { return int16(v * (1 << 15)) }},
		"24":         {wavPCM, 24, func(v float64) any { return int64(v * (1 << 23)) }},
		"32":         {wavPCM, 32, func(v float64) any { return int32(v * (1 << 31)) }},
		"float":      {wavFloat, 32, func(v float64) any { return float32(v) }},
		"double":     {wavFloat, 64, func(v float64) any { return v }},
		"extensible": {wavExtensible, 16, func(v float64) any { return int16(v * (1 << 15)) }},
	} {
		body := encode(c.f)
		s, err := ParseWAV(wav(c.tag, 1, 8000, c.bits, body))
		if err != nil || s.Rate != 8000 || len(s.Samples) != len(want) {
			t.Fatalf("%s: %v, %v", name, s, err)
		}
		for i, v := range s.Samples {
			if v != want[i] {
				t.Errorf("%s: sample %d is %v, want %v", name, i, v, want[i])
			}
		}
		// Two channels of the same numbers in turns: their mean.
		if s, err = ParseWAV(wav(c.tag, 2, 8000, c.bits, body)); err != nil || len(s.Samples) != 2 || s.Samples[0] != 0.25 || s.Samples[1] != -0.75 {
			t.Errorf("%s: two channels give %v, %v", name, s, err)
		}
	}
	good := wav(wavPCM, 1, 16000, 16, make([]byte, 64))
	for n := range len(good) {
		if _, err := ParseWAV(good[:n]); !errors.As(err, new(*fault.Format)) {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
	}
	for i := range good {
		broken := bytes.Clone(good)
		broken[i] ^= 0xff
		if _, err := ParseWAV(broken); err != nil && !errors.As(err, new(*fault.Format)) && !errors.As(err, new(*fault.Unsupported)) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	if _, err := ParseWAV(wav(7, 1, 8000, 8, nil)); !errors.As(err, new(*fault.Unsupported)) {
		t.Errorf("mu-law: %v", err)
	}
}

// TestResample: tones below the new limit stay what they are, tones above it go.
func TestResample(t *testing.T) {
	tone := func(rate int, hertz float64, n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(math.Sin(2 * math.Pi * hertz * float64(i) / float64(rate)))
		}
		return x
	}
	const to = 16000
	for _, from := range []int{8000, 11025, 22050, 44100, 48000, 15999} {
		for _, hertz := range []float64{50, 440, 3000, 10000} {
			if hertz > float64(from)/2 {
				continue
			}
			s := (&Sound{from, tone(from, hertz, from)}).At(to)
			if s.Rate != to || len(s.Samples) < to-1 || len(s.Samples) > to {
				t.Fatalf("%d to %d: %d samples", from, to, len(s.Samples))
			}
			for i := 500; i < len(s.Samples)-500; i++ {
				want := math.Sin(2 * math.Pi * hertz * float64(i) / to)
				if hertz > to/2 {
					want = 0
				}
				if d := math.Abs(float64(s.Samples[i]) - want); d > 2e-4 {
					t.Fatalf("%d to %d, %v Hz: sample %d is off by %v", from, to, hertz, i, d)
				}
			}
		}
	}
}

// TestFeatures computes the spectrum anew from its definition: a sum for each frequency, filters from the mel scale's formula, in double precision.
func TestFeatures(t *testing.T) {
	for _, s := range []Settings{{Rate: 16000, Window: 400, Hop: 160, Bins: 80}, {Rate: 16000, Window: 400, Hop: 160, Bins: 128}, {Rate: 8000, Window: 63, Hop: 25, Bins: 12}} {
		const frames = 9
		samples := make([]float32, (frames-2)*s.Hop)
		for i := range samples {
			samples[i] = float32(0.4*math.Sin(float64(i)*0.31) + 0.2*math.Sin(float64(i*i)*0.001) - 0.05)
		}
		n, length := s.Window, frames*s.Hop
		x := make([]float64, length)
		for i, v := range samples {
			x[i] = float64(v)
		}
		padded := func(i int) float64 { // as numpy's pad of mode reflect
			if i < 0 {
				return x[-i]
			}
			if i >= length {
				return x[2*length-2-i]
			}
			return x[i]
		}
		mel := func(f float64) float64 {
			if f >= 1000 {
				return 15 + math.Log(f/1000)/(math.Log(6.4)/27)
			}
			return f / (200.0 / 3)
		}
		hertz := func(m float64) float64 {
			if m >= 15 {
				return 1000 * math.Exp(math.Log(6.4)/27*(m-15))
			}
			return 200.0 / 3 * m
		}
		top := mel(float64(s.Rate) / 2)
		want := make([]float64, s.Bins*frames)
		loudest := math.Inf(-1)
		for f := range frames {
			power := make([]float64, n/2+1)
			for k := range power {
				var sum complex128
				for i := range n {
					w := math.Pow(math.Sin(math.Pi*float64(i)/float64(n)), 2)
					sum += complex(padded(f*s.Hop-n/2+i)*w, 0) * cmplx.Exp(complex(0, -2*math.Pi*float64(k*i)/float64(n)))
				}
				power[k] = math.Pow(cmplx.Abs(sum), 2)
			}
			for b := range s.Bins {
				low, mid, high := hertz(top*float64(b)/float64(s.Bins+1)), hertz(top*float64(b+1)/float64(s.Bins+1)), hertz(top*float64(b+2)/float64(s.Bins+1))
				var sum float64
				for k, p := range power {
					at := float64(k) * float64(s.Rate/2) / float64(n/2)
					switch {
					case at > low && at <= mid:
						sum += p * (at - low) / (mid - low) * 2 / (high - low)
					case at > mid && at < high:
						sum += p * (high - at) / (high - mid) * 2 / (high - low)
					}
				}
				v := math.Log10(math.Max(sum, 1e-10))
				want[b*frames+f], loudest = v, math.Max(loudest, v)
			}
		}
		got := newMelBank(s).features(samples, frames)
		if got.Shape[1] != s.Bins || got.Shape[2] != frames {
			t.Fatalf("shape %v", got.Shape)
		}
		for i, v := range got.F32() {
			if w := (math.Max(want[i], loudest-8) + 4) / 4; math.Abs(float64(v)-w) > 1e-5 {
				t.Fatalf("%+v: band %d of frame %d is %v, want %v", s, i/frames, i%frames, v, w)
			}
		}
	}
}

// whisper imports the tiny golden model with files beside it that published checkpoints have: 150 tokens, of which some are languages and tasks.
func whisper(t *testing.T) *model.Model {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "whisper")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "..", "shared", "models", "arch-golden", "whisper"))); err != nil {
		t.Skip("../shared/models/arch-golden/whisper is not there")
	}
	vocab, added := map[string]int{}, []map[string]any{}
	for i := range 150 {
		name := ""
		switch {
		case i < 4:
			name = []string{"<|pad|>", "<|bos|>", "<|endoftext|>", "<|startoftranscript|>"}[i]
		case i < 9:
			name = []string{"<|en|>", "<|de|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>"}[i-4]
		case i < 20:
			name = "<|" + string(rune('0'+i-9)) + ".00|>"
		default:
			vocab[string([]rune{rune('a' + i%26), rune('a' + i/26), 'Ġ'})] = i
			continue
		}
		added = append(added, map[string]any{"id": i, "content": name, "special": i < 9, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false})
	}
	for i := range 20 { // of which the merges are none
		vocab[added[i]["content"].(string)] = i
	}
	for name, v := range map[string]any{
		"tokenizer.json": map[string]any{"version": "1.0", "added_tokens": added, "model": map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
			"decoder": map[string]any{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}},
		"preprocessor_config.json": map[string]any{"feature_size": 12, "hop_length": 160, "n_fft": 400, "sampling_rate": 16000},
		"generation_config.json": map[string]any{"is_multilingual": true, "suppress_tokens": []int{30, 31}, "begin_suppress_tokens": []int{40, 2},
			"eos_token_id": 2, "decoder_start_token_id": 3},
	} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, r, err := safetensors.Import(context.Background(), dir, safetensors.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return m
}

// TestTranscribe holds the text of a recording against the same steps one by one: features, prompt, and the likeliest of the tokens that are text.
func TestTranscribe(t *testing.T) {
	m := whisper(t)
	if !Takes(m) {
		t.Fatal("the model is not taken for one of speech")
	}
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(m, tok, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	const window = 40 * 160
	sound := &Sound{16000, make([]float32, window+3000)}
	for i := range sound.Samples {
		sound.Samples[i] = float32(math.Sin(float64(i) * 0.2))
	}
	quietest := window - 800
	clear(sound.Samples[quietest-900 : quietest+100+1600])
	options := Options{Language: "de", Task: "translate", Generate: runtime.GenerateOptions{MaxTokens: 6, Sampler: &runtime.Sampler{}}}
	var segments []Segment
	language, err := r.Transcribe(context.Background(), sound, options, func(s Segment) error {
		segments = append(segments, s)
		return nil
	})
	if err != nil || language != "de" || len(segments) != 2 || segments[0].Start != 0 || segments[0].End != segments[1].Start || segments[1].End != sound.Seconds() {
		t.Fatalf("%v, %q, %+v", err, language, segments)
	}
	if cut := segments[0].End * 16000; cut < float64(window-window/cutShare) || cut > window {
		t.Errorf("the recording is cut at sample %v", cut)
	}
	s, err := runtime.NewSeq2Seq(m, runtime.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	bank := newMelBank(r.bank.Settings)
	for _, seg := range segments {
		part := sound.Samples[int(math.Round(seg.Start*16000)):int(math.Round(seg.End*16000))]
		if _, err := s.Encode(context.Background(), map[string]*tensor.Tensor{inputFeatures: bank.features(part, 40)}); err != nil {
			t.Fatal(err)
		}
		tokens := []int32{3, 5, 6, 8}
		text := ""
		for n := range 6 {
			logits, err := s.Next(context.Background(), tokens)
			if err != nil {
				t.Fatal(err)
			}
			best := int32(-1)
			for id := range int32(150) {
				never := id < 20 && id != 2 || id == 30 || id == 31 || n == 0 && (id == 40 || id == 2)
				if !never && (best < 0 || logits[id] > logits[best]) {
					best = id
				}
			}
			if best == 2 {
				break
			}
			text += tok.Decode([]int32{best}, false)
			tokens = []int32{best}
		}
		if seg.Text != strings.TrimSpace(text) {
			t.Errorf("text %q, want %q", seg.Text, text)
		}
	}
	// Without a language the model finds one out; what it cannot do is refused.
	options.Language = ""
	if language, err = r.Transcribe(context.Background(), sound, options, func(Segment) error { return nil }); err != nil || language != "de" && language != "en" {
		t.Errorf("language %q, %v", language, err)
	}
	for _, o := range []Options{{Language: "tlh"}, {Task: "sing"}} {
		o.Generate = options.Generate
		if _, err := r.Transcribe(context.Background(), sound, o, nil); !errors.As(err, new(*fault.Usage)) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := r.Transcribe(context.Background(), &Sound{Rate: 16000}, options, nil); !errors.As(err, new(*fault.Usage)) {
		t.Errorf("an empty recording: %v", err)
	}
}
