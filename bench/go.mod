module github.com/buffkit/buffkit/bench

go 1.25.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.2.0
	github.com/buffkit/buffkit v0.0.0
	golang.org/x/sys v0.35.0
)

require github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
