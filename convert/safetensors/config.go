package safetensors

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/dsk-toolkit/dsk/internal/fault"
)

// maxCount caps every count in a config.json: layers, heads, widths, vocabulary.
const maxCount = 1 << 24

// maxLabels caps the classes of a head.
const maxLabels = 1 << 20

// maxHeadDim caps the size of an attention head; real ones stay below 1024.
const maxHeadDim = 1 << 14

// maxHeads caps the heads of a layer; real ones stay below 256.
const maxHeads = 1 << 14

// config reads a config.json by key. What is wrong is collected and reported at once by err; what
// the program cannot do is collected in gaps.
type config struct {
	source  []byte // the file
	values  map[string]json.RawMessage
	missing []string
	wrong   []string
	gaps    []fault.Item
}

func readConfig(data []byte) (*config, error) {
	c := &config{source: data}
	if len(data) == 0 {
		return nil, fault.Formatf("", "the file is empty")
	}
	if err := json.Unmarshal(data, &c.values); err != nil {
		return nil, fault.Formatf("", "%v", err)
	}
	if c.values == nil {
		return nil, fault.Formatf("", "it is no object")
	}
	return c, nil
}

// sub returns the object under key, or nil if there is none; its problems are reported with c's.
func (c *config) sub(key string) *config {
	raw, ok := c.raw(key)
	if !ok {
		return nil
	}
	s := &config{}
	if err := json.Unmarshal(raw, &s.values); err != nil {
		c.wrong = append(c.wrong, key+" is no object")
		return nil
	}
	return s
}

// raw returns the value of key, false for an absent one or null.
func (c *config) raw(key string) (json.RawMessage, bool) {
	v, ok := c.values[key]
	return v, ok && string(v) != "null"
}

// get decodes key into v; it reports false, and notes a problem, unless the value fits.
func (c *config) get(key string, v any, kind string) bool {
	raw, ok := c.raw(key)
	if !ok {
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		c.wrong = append(c.wrong, key+" is not "+kind)
		return false
	}
	return true
}

func (c *config) need(key string) {
	if _, ok := c.raw(key); !ok {
		c.missing = append(c.missing, key)
	}
}

// count returns a positive number; it must be there.
func (c *config) count(key string) int {
	c.need(key)
	return c.countOr(key, 1)
}

// countOr returns a positive number or def.
func (c *config) countOr(key string, def int) int {
	v := def
	if !c.get(key, &v, "a number") {
		return def
	}
	if v < 1 || v > maxCount {
		c.wrong = append(c.wrong, key+" is not between 1 and 16777216")
		return def
	}
	return v
}

// countAny returns a positive number under the first of the keys that is there; one must be.
func (c *config) countAny(keys ...string) int {
	for _, k := range keys {
		if _, ok := c.raw(k); ok {
			return c.countOr(k, 1)
		}
	}
	return c.count(keys[0])
}

// headSize returns width/heads, which must be a whole number.
func (c *config) headSize(width, heads int) int {
	if width%heads != 0 {
		c.wrong = append(c.wrong, fmt.Sprintf("a width of %d does not divide into %d heads", width, heads))
	}
	return max(width/heads, 1)
}

// window returns the size of a sliding window: 0, for none, if the key is null, and def if it is not there.
func (c *config) window(key string, def int) int {
	if raw, ok := c.values[key]; !ok {
		return def
	} else if string(raw) == "null" {
		return 0
	}
	return c.countOr(key, 1)
}

// number returns a finite number or def.
func (c *config) number(key string, def float64) float64 {
	v := def
	if !c.get(key, &v, "a number") || math.IsInf(v, 0) {
		return def
	}
	return v
}

// positive returns a number above 0 or def.
func (c *config) positive(key string, def float64) float64 {
	v := c.number(key, def)
	if !(v > 0) {
		c.wrong = append(c.wrong, key+" is not above 0")
		return def
	}
	return v
}

func (c *config) flag(key string, def bool) bool {
	v := def
	if !c.get(key, &v, "true or false") {
		return def
	}
	return v
}

func (c *config) text(key, def string) string {
	v := def
	if !c.get(key, &v, "a text") {
		return def
	}
	return v
}

// ids returns a list of token ids, which may be written as one number. Those outside the vocabulary are left out.
func (c *config) ids(key string, vocab int) []int {
	raw, ok := c.raw(key)
	if !ok {
		return nil
	}
	var list []int
	var one int
	if json.Unmarshal(raw, &one) == nil {
		list = []int{one}
	} else if !c.get(key, &list, "a token id or a list of them") {
		return nil
	}
	return slices.DeleteFunc(list, func(id int) bool { return id < 0 || id >= vocab })
}

// unsupported notes that the model needs something that dsk does not have.
func (c *config) unsupported(what, hint string) {
	c.gaps = append(c.gaps, fault.Item{What: what, Hint: hint})
}

// err returns what was found wrong with the config.
func (c *config) err() error {
	var why []string
	if len(c.missing) > 0 {
		sort.Strings(c.missing)
		why = append(why, "it lacks "+strings.Join(slices.Compact(c.missing), ", "))
	}
	sort.Strings(c.wrong)
	why = append(why, slices.Compact(c.wrong)...)
	if len(why) > 0 {
		return fault.Formatf("", "%s", strings.Join(why, "; "))
	}
	if len(c.gaps) > 0 {
		return &fault.Unsupported{Kind: "architecture", Items: c.gaps}
	}
	return nil
}

// merge takes the problems of a sub-object over, under its name.
func (c *config) merge(name string, s *config) {
	for _, m := range s.missing {
		c.missing = append(c.missing, name+"."+m)
	}
	for _, w := range s.wrong {
		c.wrong = append(c.wrong, name+"."+w)
	}
	c.gaps = append(c.gaps, s.gaps...)
}

// failed reports whether anything was found wrong so far.
func (c *config) failed() bool {
	return len(c.missing)+len(c.wrong)+len(c.gaps) > 0
}

// labels returns the names of the classes: those of id2label, or as many as num_labels says, or 2.
func (c *config) labels() []string {
	names := map[string]string{}
	n := c.countOr("num_labels", 2)
	if c.get("id2label", &names, "an object of texts") {
		n = len(names)
	}
	if n < 1 || n > maxLabels {
		c.wrong = append(c.wrong, fmt.Sprintf("%d labels are not between 1 and %d", n, maxLabels))
		n = 1
	}
	out := make([]string, n)
	for i := range out {
		if out[i] = strings.Map(printable, names[strconv.Itoa(i)]); out[i] == "" {
			out[i] = fmt.Sprintf("LABEL_%d", i)
		}
	}
	return out
}

// printable makes a blank of what would break a line.
func printable(r rune) rune {
	if r < ' ' {
		return ' '
	}
	return r
}
