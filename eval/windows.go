package eval

import (
	"context"
	"fmt"
	"strings"

	"github.com/dsk-toolkit/dsk/dataset"
	"github.com/dsk-toolkit/dsk/internal/fault"
	"github.com/dsk-toolkit/dsk/model"
	"github.com/dsk-toolkit/dsk/runtime"
	"github.com/dsk-toolkit/dsk/tokenizer"
)

// documentEnd separates documents in plain text, as the TinyStories and OpenWebText files have it.
const documentEnd = "<|endoftext|>"

// lmWindows is text cut into windows of tokens that lie side by side; each is predicted from its own start.
type lmWindows struct {
	windows   [][]int32
	size      int // tokens in the longest window
	scoreFrom int // positions scoreFrom..len-1 of each window are predicted
	limit     int // windows; 0 = no limit
	// bytes[i] is the number of UTF-8 bytes of the scored tokens of window i.
	bytes []int
	tok   *tokenizer.Tokenizer
}

// newWindows tokenizes the data and cuts it. Text with document ends that are no token of the model is taken document
// by document, each trimmed, with the model's begin token before it and, predicted like any other
// token, after it; all bytes of the text count. Other text is tokenized whole, without special tokens.
func newWindows(ctx context.Context, m *model.Model, d *dataset.Data, o Options) (*lmWindows, error) {
	if m.Assets[model.AssetTokenizer] == nil {
		return nil, &fault.Usage{What: "the model has no tokenizer, so text cannot be measured on it"}
	}
	tok, err := tokenizer.Parse(m.Assets[model.AssetTokenizer])
	if err != nil {
		return nil, err
	}
	text, err := d.Text(ctx)
	if err != nil {
		return nil, err
	}
	w := &lmWindows{size: o.Context, scoreFrom: max(o.ScoreFrom, 1), limit: o.Limit, tok: tok}
	if w.size == 0 {
		w.size = min(m.Meta.LM.ContextLength, DefaultContext)
	}
	if w.size < 2 || w.scoreFrom >= w.size {
		return nil, &fault.Usage{What: fmt.Sprintf("a window of %d tokens with scoring from position %d predicts nothing", w.size, w.scoreFrom)}
	}
	_, known := tok.TokenID(documentEnd)
	if bos := m.Meta.LM.BOS; !known && len(bos) > 0 && strings.Contains(text, documentEnd) {
		w.addDocuments(text, int32(bos[0]))
	} else {
		w.addStream(tok.Encode(text, false))
	}
	if len(w.windows) == 0 {
		return nil, &fault.Usage{What: fmt.Sprintf("%s is too short: a window needs at least %d tokens", d.Name(), w.scoreFrom+1)}
	}
	return w, nil
}

// addStream cuts a stream of tokens. A last window that is not full is left out unless it is the only one.
func (w *lmWindows) addStream(ids []int32) {
	for at := 0; at+w.scoreFrom < len(ids) && !w.full(); at += w.size {
		end := min(at+w.size, len(ids))
		if end-at < w.size && at > 0 {
			return
		}
		w.add(ids[at:end], false)
	}
}

// addDocuments cuts each document on its own.
func (w *lmWindows) addDocuments(text string, bos int32) {
	for doc := range strings.SplitAfterSeq(text, documentEnd) {
		body := strings.TrimSpace(strings.TrimSuffix(doc, documentEnd))
		if body == "" || w.full() {
			if n := len(w.bytes); n > 0 && !w.full() {
				w.bytes[n-1] += len(doc)
			}
			continue
		}
		ids := append(append([]int32{bos}, w.tok.Encode(body, false)...), bos)
		first := len(w.windows)
		for at := 0; at+w.scoreFrom < len(ids); at += w.size {
			w.add(ids[at:min(at+w.size, len(ids))], true)
		}
		if n := len(w.bytes); n > first {
			// The separator and what trimming took are predicted with the document's last token.
			w.bytes[n-1] += len(doc) - len(body)
		}
	}
}

func (w *lmWindows) full() bool { return w.limit > 0 && len(w.windows) >= w.limit }

// add takes a window; skipSpecial says that special tokens in it stand for no bytes of the text.
func (w *lmWindows) add(window []int32, skipSpecial bool) {
	w.windows = append(w.windows, window)
	w.bytes = append(w.bytes, len(w.tok.Decode(window, skipSpecial))-len(w.tok.Decode(window[:w.scoreFrom], skipSpecial)))
}

func (w *lmWindows) context() int { return w.size }

// scored is the number of predicted positions of a window.
func (w *lmWindows) scored(i int) int { return len(w.windows[i]) - w.scoreFrom }

// logits runs one window and returns the logits that predict its scored positions:
// [scored][vocab].
func (w *lmWindows) logits(ctx context.Context, lm *runtime.LM, i int) ([]float32, error) {
	lm.Rewind(0)
	all, err := lm.All(ctx, w.windows[i][:len(w.windows[i])-1])
	if err != nil {
		return nil, err
	}
	return all[(w.scoreFrom-1)*lm.VocabSize():], nil
}
