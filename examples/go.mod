module github.com/buffkit/buffkit/examples

go 1.25.0

require github.com/buffkit/buffkit v0.0.0

require github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
