//go:build !race

package extract

// shadow is how much memory a process takes for each byte of its own.
const shadow = 1
