module github.com/buffkit/buffkit/internal/integration

go 1.25.0
