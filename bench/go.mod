module scraper/bench

go 1.26.0

require scraper v0.0.0

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/klauspost/compress v1.20.3
)

replace scraper => ../
