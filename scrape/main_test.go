package scrape

import (
	"testing"

	"scraper/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }
