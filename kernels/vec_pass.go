package kernels

// Pass is dst[i] = g[i] where low < y[i] < high, and slope g[i] elsewhere: the derivative of an activation that is straight between two
// results and has another slope beyond them.
func Pass(dst, g, y []float32, low, high, slope float32) {
	g, y = g[:len(dst)], y[:len(dst)]
	for i := passSIMD(dst, g, y, low, high, slope); i < len(dst); i++ {
		v := g[i]
		if !(y[i] > low && y[i] < high) {
			v *= slope
		}
		dst[i] = v
	}
}
