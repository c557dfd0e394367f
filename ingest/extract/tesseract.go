package extract

import "context"

type tesseract struct{}
type recognition struct {
	Text       string
	Confidence float64
	Reader     string
}

func newTesseract(n int) (*tesseract, string)                    { return nil, "none" }
func (t *tesseract) name() string                                { return "" }
func (t *tesseract) acquire(ctx context.Context) (func(), error) { return func() {}, nil }
func (t *tesseract) recognize(context.Context, gray) (recognition, *Failure, error) {
	return recognition{}, nil, nil
}
