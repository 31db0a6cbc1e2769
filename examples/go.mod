module github.com/buffkit/buffkit/examples

go 1.25.0

require github.com/buffkit/buffkit v0.0.0
