package safetensors

import "math"

// The functions here compute in float64 like those of package math, to about 1e-15, but give
// the same bits on every machine: each product is rounded by a conversion, which keeps compilers
// from fusing it with a sum, and nothing is assembly. The tables of a file are made with them.

// ln returns the natural logarithm of x > 0: with x = m 2^e and m near 1,
// ln x = 2 atanh((m-1)/(m+1)) + e ln 2.
func ln(x float64) float64 {
	m, e := math.Frexp(x) // exact
	if m < math.Sqrt2/2 {
		m, e = float64(m*2), e-1
	}
	z := float64((m - 1) / (m + 1))
	zz := float64(z * z)
	sum := 0.0
	for k := 25; k >= 1; k -= 2 {
		sum = float64(sum*zz) + 1/float64(k)
	}
	// ln 2 in two parts, the first of which times e is exact.
	const hi, lo = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	return float64(float64(e)*hi) + (float64(float64(e)*lo) + float64(2*float64(z*sum)))
}

// exp returns e^x for |x| < 700: 2^k e^r with |r| <= ln 2 / 2.
func exp(x float64) float64 {
	const hi, lo = 6.93147180369123816490e-01, 1.90821492927058770002e-10
	k := math.Floor(float64(x*(1/math.Ln2)) + 0.5)
	r := (x - float64(k*hi)) - float64(k*lo)
	sum := 1.0
	for n := 17; n >= 1; n-- {
		sum = 1 + float64(float64(r/float64(n))*sum)
	}
	return math.Ldexp(sum, int(k))
}

// pow returns x^y for x > 0.
func pow(x, y float64) float64 { return exp(float64(y * ln(x))) }

// cosSin returns the cosine and the sine of 0 <= x < 2^23, reduced to a quarter turn around 0.
func cosSin(x float64) (cos, sin float64) {
	// pi/2 in three parts of 33 bits (fdlibm's): their products with the number of quarter turns are exact.
	const p1, p2, p3 = 1.57079632673412561417e+00, 6.07710050630396597660e-11, 2.02226624879595063154e-21
	k := math.Floor(float64(x*(2/math.Pi)) + 0.5)
	r := ((x - float64(k*p1)) - float64(k*p2)) - float64(k*p3)
	rr := float64(r * r)
	c, s := 1.0, 1.0
	for n := 20; n >= 2; n -= 2 {
		c = 1 - float64(float64(rr/float64(n*(n-1)))*c)
		s = 1 - float64(float64(rr/float64(n*(n+1)))*s)
	}
	s = float64(s * r)
	switch int64(k) & 3 {
	case 1:
		return -s, c
	case 2:
		return -c, -s
	case 3:
		return s, -c
	}
	return c, s
}
