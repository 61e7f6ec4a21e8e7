// Package audio runs models of speech: a recording in, text out. It reads WAV files, brings them to the rate that a model wants, and makes the
// logarithms of their mel spectrum as Whisper's feature extractor defines them.
package audio

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// Sound is a recording: samples in [-1, 1], all channels averaged.
type Sound struct {
	Rate    int // samples a second
	Samples []float32
}

// Seconds is how long the recording is.
func (s *Sound) Seconds() float64 { return float64(len(s.Samples)) / float64(s.Rate) }

// IsWAV reports whether data begins like a WAV file.
func IsWAV(data []byte) bool {
	return len(data) >= 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WAVE"
}

// The format tags of WAV files (Microsoft, "Multiple channel audio data and WAVE files", 2001).
const (
	wavPCM        = 1
	wavFloat      = 3
	wavExtensible = 0xfffe // the tag is in the first bytes of the GUID behind

	maxChannels = 256
	minRate     = 1000
	maxRate     = 1 << 20
)

// wavFormat is what a file's "fmt " chunk says.
type wavFormat struct {
	tag, channels, rate, frame, bits int
}

// ParseWAV reads a WAV file of PCM samples of 8, 16, 24 or 32 bits or of floats of 32 or 64 bits. Errors: *fault.Format for a broken file,
// *fault.Unsupported for another coding.
func ParseWAV(data []byte) (*Sound, error) {
	if !IsWAV(data) {
		return nil, &fault.Format{Offset: 0, Why: "this is no WAV file: it does not begin with RIFF and WAVE", Next: "convert it, with ffmpeg -i IN OUT.wav for instance"}
	}
	var f *wavFormat
	for at := 12; at+8 <= len(data); {
		id, size := string(data[at:at+4]), int64(binary.LittleEndian.Uint32(data[at+4:]))
		body := data[at+8:]
		if id == "data" {
			if f == nil {
				return nil, wavError(at, "the samples come before their format")
			}
			// A program that writes into a pipe does not know the size.
			if size == math.MaxUint32 || size == 0 && len(body) > 0 {
				size = int64(len(body) / f.frame * f.frame)
			}
			if size > int64(len(body)) {
				return nil, wavError(at, "%d bytes of samples are announced, %d are there: the file is cut off", size, len(body))
			}
			return f.sound(body[:size])
		}
		if size > int64(len(body)) {
			return nil, wavError(at, "the chunk %q has %d bytes, %d are left: the file is cut off", id, size, len(body))
		}
		if id == "fmt " {
			var err error
			if f, err = parseFormat(body[:size], at); err != nil {
				return nil, err
			}
		}
		at += 8 + int(size) + int(size&1)
	}
	return nil, wavError(len(data), "there are no samples")
}

func wavError(at int, format string, args ...any) error {
	return &fault.Format{Offset: int64(at), Where: "WAV file", Why: fmt.Sprintf(format, args...)}
}

func parseFormat(b []byte, at int) (*wavFormat, error) {
	if len(b) < 16 {
		return nil, wavError(at, "its format has %d bytes, not 16", len(b))
	}
	u16 := func(i int) int { return int(binary.LittleEndian.Uint16(b[i:])) }
	f := &wavFormat{tag: u16(0), channels: u16(2), rate: int(binary.LittleEndian.Uint32(b[4:])), frame: u16(12), bits: u16(14)}
	if f.tag == wavExtensible && len(b) >= 26 {
		f.tag = u16(24)
	}
	switch {
	case f.tag == wavPCM && (f.bits == 8 || f.bits == 16 || f.bits == 24 || f.bits == 32), f.tag == wavFloat && (f.bits == 32 || f.bits == 64):
	default:
		return nil, &fault.Unsupported{Kind: "WAV coding", Items: []fault.Item{{What: fmt.Sprintf("format %d with %d bits", f.tag, f.bits),
			Hint: "PCM of 8, 16, 24 or 32 bits and floats are read: ffmpeg -i IN -c:a pcm_s16le OUT.wav"}}}
	}
	switch {
	case f.channels < 1 || f.channels > maxChannels || f.frame != f.channels*f.bits/8:
		return nil, wavError(at, "%d channels of %d bits in %d bytes", f.channels, f.bits, f.frame)
	case f.rate < minRate || f.rate > maxRate:
		return nil, wavError(at, "%d samples a second", f.rate)
	}
	return f, nil
}

// sound decodes the samples; a frame that is cut off is left out.
func (f *wavFormat) sound(data []byte) (*Sound, error) {
	s := &Sound{Rate: f.rate, Samples: make([]float32, len(data)/f.frame)}
	width := f.bits / 8
	for i := range s.Samples {
		var sum float64
		for c := range f.channels {
			sum += f.sample(data[i*f.frame+c*width:])
		}
		v := sum / float64(f.channels)
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, &fault.Format{Offset: -1, Where: "WAV file", Why: fmt.Sprintf("sample %d is NaN or infinite", i)}
		}
		s.Samples[i] = float32(v)
	}
	return s, nil
}

// sample decodes one number; integers are divided by the magnitude of the smallest.
func (f *wavFormat) sample(b []byte) float64 {
	switch {
	case f.tag == wavFloat && f.bits == 32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case f.tag == wavFloat:
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	case f.bits == 8:
		return (float64(b[0]) - 128) / 128
	case f.bits == 16:
		return float64(int16(binary.LittleEndian.Uint16(b))) / (1 << 15)
	case f.bits == 24:
		return float64(int32(uint32(b[0])<<8|uint32(b[1])<<16|uint32(b[2])<<24)) / (1 << 31)
	}
	return float64(int32(binary.LittleEndian.Uint32(b))) / (1 << 31)
}
