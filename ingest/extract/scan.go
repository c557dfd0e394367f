package extract

func prepare(g gray) (gray, int) { return g, 0 }
