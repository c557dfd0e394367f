//go:build race

package extract

// shadow is how much memory a process takes for each byte of its own: the race
// detector keeps several of what was accessed by whom.
const shadow = 8
