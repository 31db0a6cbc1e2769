module github.com/buffkit/buffkit/cmd/buffkit

go 1.25.0
