module github.com/buffkit/buffkit

go 1.25.0
