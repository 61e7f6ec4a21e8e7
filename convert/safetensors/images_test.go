package safetensors

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// TestPreprocess reads image processors as published checkpoints have them.
func TestPreprocess(t *testing.T) {
	for _, c := range []struct{ name, config, want string }{
		{"ViT", `{"do_normalize":true,"do_resize":true,"image_mean":[0.5,0.5,0.5],"image_std":[0.5,0.5,0.5],"size":224}`,
			`{"filter":"bilinear","fit":"stretch","height":224,"mean":[127.5,127.5,127.5],"std":[127.5,127.5,127.5],"width":224}`},
		{"DINOv2", `{"crop_size":{"height":224,"width":224},"do_center_crop":true,"resample":3,"rescale_factor":0.00392156862745098,"image_mean":[0.4,0.2,0],"image_std":[0.2,0.4,1],"size":{"shortest_edge":256}}`,
			`{"filter":"bicubic","fit":"crop","height":256,"mean":[102,51,0],"std":[51,102,255],"width":256}`},
		{"as it is", `{"do_resize":false,"do_rescale":false,"do_normalize":false}`, `{"mean":[0],"std":[1]}`},
		{"sides", `{"size":{"height":10,"width":20},"do_normalize":false}`, `{"filter":"bilinear","fit":"stretch","height":10,"mean":[0],"std":[255],"width":20}`},
	} {
		config, err := readConfig([]byte(c.config))
		if err != nil {
			t.Fatal(err)
		}
		got, _ := json.Marshal(config.preprocess())
		if err := config.err(); err != nil || string(got) != c.want {
			t.Errorf("%s: %s, %v, want %s", c.name, got, err, c.want)
		}
	}
	for text, want := range map[string]string{`{"resample":1}`: "resample 1", `{"size":{"height":3}}`: "size.width", `{"image_std":[0]}`: "image_std", `{"image_mean":[]}`: "image_mean", `{"size":"big"}`: "size"} {
		config, err := readConfig([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		config.preprocess()
		err = config.err()
		var format *fault.Format
		var unsupported *fault.Unsupported
		if !(errors.As(err, &format) || errors.As(err, &unsupported)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error about %s", text, err, want)
		}
	}
}
