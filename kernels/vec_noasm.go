//go:build (!amd64 && !arm64) || purego

package kernels

func addSIMD(dst, a, b []float32) int                  { return 0 }
func subSIMD(dst, a, b []float32) int                  { return 0 }
func mulSIMD(dst, a, b []float32) int                  { return 0 }
func divSIMD(dst, a, b []float32) int                  { return 0 }
func scaleSIMD(dst, x []float32, a float32) int        { return 0 }
func addScalarSIMD(dst, x []float32, a float32) int    { return 0 }
func axpySIMD(dst, x []float32, a float32) int         { return 0 }
func dotSIMD(a, b []float32) (float32, bool)           { return 0, false }
func sumSIMD(x []float32) (float32, bool)              { return 0, false }
func topSIMD(x []float32) (float32, bool)              { return 0, false }
func expShiftSIMD(dst, x []float32, shift float32) int { return 0 }
func activateSIMD(dst, x []float32, a Activation) int  { return 0 }
func ropeSIMD(dst, x, cos, sin []float32) int          { return 0 }
func maxSIMD(dst, a, b []float32) int                  { return 0 }
func minSIMD(dst, a, b []float32) int                  { return 0 }
func sqrtSIMD(dst, x []float32) int                    { return 0 }
func erfSIMD(dst, x []float32) int                     { return 0 }
