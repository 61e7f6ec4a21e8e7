//go:build !purego

package kernels

import "unsafe"

// levelSumsDotProd and levelSumsI8MM compute t.sums of one panel.

//go:noescape
func levelSumsDotProd(t *levelTile, rows int)

//go:noescape
func levelSumsI8MM(t *levelTile, rows int)

func levelStripSIMD(*levelTile, int) int { return 0 }

// levelSumsSIMD computes t.sums a panel at a time.
func levelSumsSIMD(t *levelTile, rows int) bool {
	if !useDotProd {
		return false
	}
	s := *t
	for {
		if useI8MM {
			levelSumsI8MM(&s, rows)
		} else {
			levelSumsDotProd(&s, rows)
		}
		if s.w0 == t.w1 {
			return true
		}
		s.w0 = t.w1
		s.sums, s.start, s.columns = unsafe.Add(s.sums, LineBytes), unsafe.Add(s.start, LineBytes), unsafe.Add(s.columns, LineBytes)
	}
}
