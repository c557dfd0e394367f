package evidence

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Findings are the parts of an answer that a report tells in words. The answer has more.
type Findings struct {
	ID           string   `json:"id"`
	Verdict      string   `json:"verdict"`
	Reason       string   `json:"reason"`
	IndexVersion string   `json:"index_version"`
	Guarantee    int      `json:"guarantee_characters"`
	Partial      bool     `json:"partial"`
	Missing      []string `json:"missing"`
	PendingPages int64    `json:"pending_pages"`
	Scope        []string `json:"scope"`
	Matches      []Match  `json:"matches"`
	Obfuscation  struct {
		ZeroWidth    int `json:"zero_width"`
		SoftHyphen   int `json:"soft_hyphen"`
		LookAlike    int `json:"look_alike"`
		MixedScript  int `json:"mixed_script"`
		SpacedOut    int `json:"spaced_out"`
		StackedMarks int `json:"stacked_marks"`
	} `json:"obfuscation"`
	Explanation struct {
		Characters int     `json:"normalized_characters"`
		Threshold  float64 `json:"threshold"`
		Dropped    []struct {
			Reason       string `json:"reason"`
			Characters   int    `json:"characters"`
			Fingerprints int    `json:"fingerprints"`
		} `json:"dropped"`
		Nearest struct {
			Document         Document `json:"document"`
			ExpectedByChance float64  `json:"expected_by_chance"`
			Lacks            string   `json:"lacks"`
		} `json:"nearest"`
	} `json:"explanation"`
}

// Match is a document that was found.
type Match struct {
	Document         Document `json:"document"`
	Disposition      string   `json:"disposition"`
	Reason           string   `json:"reason"`
	Channel          string   `json:"channel"`
	ExpectedByChance float64  `json:"expected_by_chance"`
	Containment      struct {
		Query    float64 `json:"query"`
		Document float64 `json:"document"`
	} `json:"containment"`
	MatchedCharacters int       `json:"matched_characters"`
	Passages          []Passage `json:"passages"`
}

// Document is a registered document.
type Document struct {
	ID             string `json:"id"`
	Title          string `json:"title"`
	Source         string `json:"source"`
	Version        int    `json:"version"`
	Department     string `json:"department"`
	Classification string `json:"classification"`
}

// Passage is what stands on both sides.
type Passage struct {
	Query      Place   `json:"query"`
	Document   Place   `json:"document"`
	Similarity float64 `json:"similarity"`
}

// Place is a range of code points of a page, or a box on it in shares of its size.
type Place struct {
	Page   int     `json:"page"`
	Part   string  `json:"part"`
	Start  int     `json:"start"`
	End    int     `json:"end"`
	X      float64 `json:"x"`
	Y      float64 `json:"y"`
	Width  float64 `json:"width"`
	Height float64 `json:"height"`
}

// Box reports whether the place is one.
func (p Place) Box() bool { return p.Width > 0 }

// Findings reads the answer of a report.
func (r *Report) Findings() (*Findings, error) {
	var f Findings
	if err := json.Unmarshal(r.Answer, &f); err != nil {
		return nil, fmt.Errorf("read the answer in a report: %w", err)
	}
	return &f, nil
}

// In words.
var (
	verdicts = map[string][2]string{
		"unauthorized": {"Unauthorized", "What was submitted shows a registered document, and no release covers it."},
		"authorized":   {"Authorized", "All that was found was released at the time at which it was seen."},
		"public":       {"Public", "All that was found stands in public text or in common forms, too."},
		"incomplete":   {"Incomplete", "Something did not answer or could not be read. What was found is below; more may be there."},
		"unreadable":   {"Unreadable", "What was submitted gave neither text nor a page that could be compared."},
		"too_short":    {"Too short", "Nothing was found, and the text is too short to be sure of that."},
		"no_match":     {"No match", "Nothing beyond chance was found in the documents that were searched."},
	}
	dispositions = map[string]string{
		"alert":              "Not authorized",
		"authorized_release": "Covered by a release",
		"public_text":        "Public text",
		"boilerplate":        "Common form",
		"below_threshold":    "May be chance",
	}
	channels = map[string]string{
		"text": "by its text", "ocr": "by text that was recognized in the picture", "page": "by the look of a page", "image": "by a picture in the document",
	}
	drops = map[string]string{
		"public": "stands in public collections, too", "boilerplate": "stands in collections of common forms", "too_common": "stands in more places than were read",
	}
)

// VerdictInWords is a verdict and what it means.
func (f *Findings) VerdictInWords() (verdict, meaning string) {
	words, ok := verdicts[f.Verdict]
	if !ok {
		return f.Verdict, ""
	}
	return words[0], words[1]
}

// DispositionInWords is what becomes of the match.
func (m *Match) DispositionInWords() string {
	if words, ok := dispositions[m.Disposition]; ok {
		return words
	}
	return m.Disposition
}

// Longest is how many code points of the text its longest passage has; 0 if it is a picture.
func (m *Match) Longest() (n int) {
	for _, p := range m.Passages {
		n = max(n, p.Query.End-p.Query.Start)
	}
	return n
}

// percent is a share for people.
func percent(share float64) string {
	switch p := 100 * share; {
	case p <= 0:
		return "0 %"
	case p < 1:
		return "under 1 %"
	case p < 100 && p > 99:
		return "over 99 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

// chance tells how often documents match as well when nothing leaked.
func chance(expected float64) string {
	scales := []struct {
		n    float64
		name string
	}{{1e12, " trillion"}, {1e9, " billion"}, {1e6, " million"}, {1, ""}}
	switch n := 1 / expected; {
	case expected >= 1:
		return "about " + count(int(min(expected, 1e9)+0.5), "document", "documents") + " would match as well in every such look-up"
	case !(n < 1e15):
		return "a document would match as well in fewer than one of a quadrillion such look-ups"
	case n < 2:
		return "a document would match as well in most such look-ups"
	default:
		if digits := math.Pow(10, math.Floor(math.Log10(n))-1); n > 100 {
			n = math.Round(n/digits) * digits // two digits say what there is to say
		}
		for _, s := range scales {
			if n >= s.n {
				number := strconv.FormatFloat(n/s.n, 'g', 2, 64)
				if n/s.n >= 10 {
					number = group(int(n/s.n + 0.5))
				}
				return "a document would match as well in about one of " + number + s.name + " such look-ups"
			}
		}
		return ""
	}
}

// group writes a number with commas.
func group(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count is a number of things.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return group(n) + " " + many
}

// disguises tells how a text was disguised.
func (f *Findings) disguises() (said []string) {
	o := f.Obfuscation
	for _, d := range []struct {
		n         int
		one, many string
	}{
		{o.ZeroWidth, "character that nobody sees", "characters that nobody sees"},
		{o.SoftHyphen, "soft hyphen inside of a word", "soft hyphens inside of words"},
		{o.LookAlike, "letter that stands in for a Latin one", "letters that stand in for Latin ones"},
		{o.MixedScript, "word of letters of several scripts", "words of letters of several scripts"},
		{o.SpacedOut, "word whose letters are set apart", "words whose letters are set apart"},
		{o.StackedMarks, "letter under a heap of marks", "letters under a heap of marks"},
	} {
		if d.n > 0 {
			said = append(said, count(d.n, d.one, d.many))
		}
	}
	return said
}

// ignored tells what did not count.
func (f *Findings) ignored() (said []string) {
	for _, d := range f.Explanation.Dropped {
		what := count(d.Characters, "letter or digit", "letters and digits")
		if d.Fingerprints > 0 {
			what = count(d.Fingerprints, "fingerprint", "fingerprints")
		}
		why := drops[d.Reason]
		if why == "" {
			why = strings.ReplaceAll(d.Reason, "_", " ")
		}
		said = append(said, what+": "+why+".")
	}
	return said
}
