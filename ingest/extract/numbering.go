package extract

import (
	"encoding/xml"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/sealprint/sealprint/ingest"
)

// The numbers of sections and lists are printed and do not stand in the text of a
// Word file: paragraphs name a list and a level of it, directly or by their style,
// and readers count. Runs of characters that were copied from the printed page hold
// them.
type numbering struct {
	lists  map[string]*numberedList // by abstractNumId
	uses   map[string]*numberedUse  // by numId
	styles map[string]numberedStyle // by styleId
	linked map[string]*numberedList // by the style that has their levels
}

// numberedList counts by levels, from 0.
type numberedList struct {
	levels [9]numberedLevel
	counts [9]int
	begun  [9]bool
	link   string // of a style that has the levels
}

type numberedLevel struct {
	start                int
	format, text, styled string
	legal                bool // decimal numbers of all levels
}

// numberedUse is a use of a list, which may begin it anew.
type numberedUse struct {
	list      string
	overrides map[int]int // start by level
	levels    map[int]*numberedLevel
	used      bool
}

type numberedStyle struct {
	use, level, base string
}

// numbering reads how the paragraphs of a Word file are numbered. What is missing
// or damaged numbers nothing.
func (a *archive) numbering(folder string) *numbering {
	n := &numbering{lists: map[string]*numberedList{}, uses: map[string]*numberedUse{}, styles: map[string]numberedStyle{}, linked: map[string]*numberedList{}}
	var list *numberedList
	var use *numberedUse
	var level int
	a.glance(path.Join(folder, "numbering.xml"), func(m *markup, t xml.Token) error {
		e, ok := t.(xml.StartElement)
		if !ok {
			return nil
		}
		if len(n.lists)+len(n.uses) > ingest.MaxStyles {
			return failf(ingest.StatusLimit, "more than %d lists", ingest.MaxStyles)
		}
		value := attribute(e, "val")
		switch e.Name.Local {
		case "abstractNum":
			list, use = &numberedList{}, nil // a level that says nothing starts at 0
			n.lists[attribute(e, "abstractNumId")] = list
		case "num":
			list, use = nil, &numberedUse{overrides: map[int]int{}, levels: map[int]*numberedLevel{}}
			n.uses[attribute(e, "numId")] = use
		case "abstractNumId":
			if use != nil {
				use.list = value
			}
		case "lvl", "lvlOverride":
			level, _ = strconv.Atoi(attribute(e, "ilvl"))
			level = min(max(level, 0), 8)
		case "startOverride":
			if start, err := strconv.Atoi(value); err == nil && use != nil {
				use.overrides[level] = start
			}
		case "styleLink":
			if list != nil && n.linked[value] == nil {
				n.linked[value] = list
			}
		case "numStyleLink":
			if list != nil {
				list.link = value
			}
		}
		var l *numberedLevel
		switch {
		case list != nil:
			l = &list.levels[level]
		case use != nil && m.within("lvl"):
			if l = use.levels[level]; l == nil {
				l = &numberedLevel{}
				use.levels[level] = l
			}
		default:
			return nil
		}
		switch e.Name.Local {
		case "start":
			if start, err := strconv.Atoi(value); err == nil {
				l.start = start
			}
		case "numFmt":
			l.format = value
		case "lvlText":
			l.text = value
		case "pStyle":
			l.styled = value
		case "isLgl":
			l.legal = true
		}
		return nil
	})
	var id string
	a.glance(path.Join(folder, "styles.xml"), func(m *markup, t xml.Token) error {
		e, ok := t.(xml.StartElement)
		if !ok {
			return nil
		}
		if len(n.styles) > ingest.MaxStyles {
			return failf(ingest.StatusLimit, "more than %d styles", ingest.MaxStyles)
		}
		s := n.styles[id]
		switch value := attribute(e, "val"); e.Name.Local {
		case "style":
			id = attribute(e, "styleId")
			return nil
		case "basedOn":
			s.base = value
		case "numId":
			s.use = value
		case "ilvl":
			s.level = value
		default:
			return nil
		}
		n.styles[id] = s
		return nil
	})
	return n
}

// label returns what is printed before the next paragraph with a style, and use and
// level of a list of its own or none; empty if it is not numbered.
func (n *numbering) label(style, use, level string) string {
	named := style
	for depth := 0; use == "" && depth < 10 && style != ""; depth++ {
		s := n.styles[style]
		if s.use != "" {
			use, named = s.use, style
			if level == "" {
				level = s.level
			}
		}
		style = s.base
	}
	u := n.uses[use]
	if u == nil || n.lists[u.list] == nil {
		return ""
	}
	list := n.lists[u.list]
	if linked := n.linked[list.link]; linked != nil && list.link != "" {
		list = linked
	}
	at, err := strconv.Atoi(level)
	if err != nil {
		at = 0
		for i := range list.levels {
			if list.levels[i].styled == named && named != "" {
				at = i
			}
		}
	}
	at = min(max(at, 0), 8)
	if !u.used {
		u.used = true
		for l, start := range u.overrides {
			list.counts[l], list.begun[l] = start-1, true
		}
	}
	// A use may have levels of its own, which it counts with those of the list.
	kept := list.levels
	for l, own := range u.levels {
		list.levels[l] = *own
	}
	text := list.next(at)
	list.levels = kept
	return text
}

// next counts a level and returns its number as it is printed.
func (l *numberedList) next(at int) string {
	if !l.begun[at] {
		l.counts[at], l.begun[at] = l.levels[at].start-1, true
	}
	l.counts[at]++
	for i := at + 1; i < len(l.begun); i++ {
		l.begun[i] = false
	}
	text := l.levels[at].text
	if l.levels[at].format == "bullet" || l.levels[at].format == "none" && !strings.Contains(text, "%") {
		return ""
	}
	for i := range l.levels {
		count := l.counts[i]
		if !l.begun[i] {
			count = l.levels[i].start
		}
		format := l.levels[i].format
		if l.levels[at].legal {
			format = "decimal"
		}
		text = strings.ReplaceAll(text, "%"+strconv.Itoa(i+1), formatNumber(count, format))
	}
	return text
}

// formatNumber writes a number as formats of office files name it.
func formatNumber(n int, format string) string {
	switch format {
	case "none", "bullet":
		return ""
	case "upperRoman", "I":
		return roman(n)
	case "lowerRoman", "i":
		return strings.ToLower(roman(n))
	case "upperLetter", "A":
		return letters26(n, 'A')
	case "lowerLetter", "a":
		return letters26(n, 'a')
	case "decimalZero":
		return fmt.Sprintf("%02d", n)
	case "ordinal":
		suffix := "th"
		switch {
		case n%100 >= 11 && n%100 <= 13:
		case n%10 == 1:
			suffix = "st"
		case n%10 == 2:
			suffix = "nd"
		case n%10 == 3:
			suffix = "rd"
		}
		return strconv.Itoa(n) + suffix
	}
	return strconv.Itoa(n)
}

func roman(n int) string {
	if n < 1 || n > 3999 {
		return strconv.Itoa(n)
	}
	var b strings.Builder
	for _, r := range []struct {
		value int
		sign  string
	}{
		{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"},
	} {
		for ; n >= r.value; n -= r.value {
			b.WriteString(r.sign)
		}
	}
	return b.String()
}

// letters26 counts a, b, … z, aa, bb and so on, as word processors do.
func letters26(n int, first rune) string {
	if n < 1 || n > 26*20 {
		return strconv.Itoa(n)
	}
	return strings.Repeat(string(first+rune((n-1)%26)), (n-1)/26+1)
}
