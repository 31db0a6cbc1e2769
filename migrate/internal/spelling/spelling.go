// Package spelling tells how far words are apart.
package spelling

// longest is how long a word may be: what is longer is no word.
const longest = 64

// Edits is how many bytes must be put in, taken out or replaced to make b of a: their Levenshtein distance. It is 64 at least if a is longer than that.
func Edits(a, b string) int {
	if len(a) > longest {
		return max(longest, len(a)-len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
