//go:build accuracy

package accuracy

import (
	"path/filepath"
	"testing"
)

// The pre-processing of the models; ../shared/README.md.
const (
	prepCIFAR     = "mean=123.675,116.28,103.53,std=58.395,57.12,57.375"
	prepMobileNet = "mean=127.5,std=127.5,resize=256,256:crop,filter=bilinear"
	prepNanoDet   = "mean=103.53,116.28,123.675,std=57.375,57.12,58.395,order=bgr,resize=416,416:stretch,filter=bicubic"
	prepDigits    = "gray,mean=33.3285,std=78.5655"
)

func cifarModel(t *testing.T, name string) string {
	t.Helper()
	return converted(t, name, shared(t, "models/cifar10-resnet/"+name+".onnx"), "--preprocess", prepCIFAR)
}

func mobileNet(t *testing.T, width string) string {
	t.Helper()
	name := "mobilenet-v1-" + width
	files, err := filepath.Glob(filepath.Join(shared(t, "models/"+name), "*.onnx"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %d ONNX files, %v", name, len(files), err)
	}
	return converted(t, name, files[0], "--preprocess", prepMobileNet)
}

func nanoDet(t *testing.T) string {
	t.Helper()
	return converted(t, "nanodet-m", shared(t, "models/nanodet-m/nanodet_m.onnx"), "--preprocess", prepNanoDet)
}

func TestFloatAccuracy(t *testing.T) {
	test := shared(t, "data/cifar10")
	near(t, "resnet20 top-1 on CIFAR-10", eval(t, cifarModel(t, "resnet20"), test, "--split", "test").Metrics["top1"], 0.915, 0.001)
	near(t, "resnet56 top-1 on CIFAR-10", eval(t, cifarModel(t, "resnet56"), test, "--split", "test").Metrics["top1"], 0.926, 0.001)

	images := shared(t, "data/imagenet-dev")
	for width, want := range map[string][2]float64{"0.25": {0.63, 0.84}, "0.75": {0.82, 0.97}} {
		m := eval(t, mobileNet(t, width), images).Metrics
		near(t, "mobilenet "+width+" top-1 on 100 images of ImageNet", m["top1"], want[0], 0.01)
		near(t, "mobilenet "+width+" top-5 on 100 images of ImageNet", m["top5"], want[1], 0.01)
	}
	near(t, "nanodet-m mAP50 on 64 images of COCO", eval(t, nanoDet(t), shared(t, "data/coco-val-dev")).Metrics["map50"], 0.432, 0.005)

	digits := converted(t, "digits", filepath.Join("..", "testdata/models/digits-cnn/digits-cnn.onnx"), "--preprocess", prepDigits)
	near(t, "digits-cnn top-1 on MNIST", eval(t, digits, shared(t, "data/mnist"), "--split", "test").Metrics["top1"], 0.980333, 0.0004)
	near(t, "digits-cnn top-1 on its own images", eval(t, digits, filepath.Join("..", "testdata/models/digits-cnn/images")).Metrics["top1"], 1, 0)
}

// TestQuantizedClassifiers measures what 8 and 4 bits cost classifiers in points of top-1 accuracy: the residual networks without
// calibration, the MobileNets calibrated on images of another set.
func TestQuantizedClassifiers(t *testing.T) {
	cifar, images := shared(t, "data/cifar10"), shared(t, "data/imagenet-dev")
	calibrated := []string{"--calib", filepath.Join(shared(t, "data/coco-val-dev"), "images"), "--limit", "64"}
	for _, c := range []struct {
		name, model, data string
		split, quantize   []string
		drop8             float64 // bar, as a fraction
	}{
		{"resnet20", cifarModel(t, "resnet20"), cifar, []string{"--split", "test"}, nil, 0.003},
		{"resnet56", cifarModel(t, "resnet56"), cifar, []string{"--split", "test"}, nil, 0.003},
		{"mobilenet-0.75", mobileNet(t, "0.75"), images, nil, calibrated, 0.003},
		// One image is a point, and one may be a matter of rounding.
		{"mobilenet-0.25", mobileNet(t, "0.25"), images, nil, calibrated, 0.0101},
	} {
		full := eval(t, c.model, c.data, c.split...).Metrics["top1"]
		for _, bits := range []string{"8", "4"} {
			out := filepath.Join(workDir, c.name+"-"+bits+"bit.dsk")
			dsk(t, append([]string{"quantize", c.model, "-o", out, "--weight-bits", bits}, c.quantize...)...)
			m := eval(t, out, c.data, append(c.split, "--reference", c.model)...).Metrics
			drop := full - m["top1"]
			t.Logf("%s at %s bit: top-1 %.4f, fall %.4f, agreement %.4f, mean KL %.4g", c.name, bits, m["top1"], drop, m["top1_agreement"], m["mean_kl"])
			if bits == "8" {
				atMost(t, c.name+" at 8 bit, fall of top-1", drop, c.drop8)
			}
		}
	}
}
