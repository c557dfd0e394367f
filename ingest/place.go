package ingest

import (
	"cmp"
	"slices"
	"time"
)

// Place is a configured source: where documents lie, and what is said about
// them unless a job says otherwise.
type Place struct {
	Name   string
	Source Source
	Prefix string // all keys begin with it
	Said
	// Rules say more about some of the objects.
	Rules []Rule
	// Every is how often it is listed without being asked to; 0: never.
	Every time.Duration
	// Withdraws has documents that were removed from here withdrawn, once they lie nowhere
	// else. Otherwise they stay registered: what was removed may have been copied before.
	Withdraws bool
}

// Said is what is said about documents; empty fields say nothing.
type Said struct {
	Department     string
	Classification string
	Collection     string
}

// or is what is said, or else what others say.
func (s Said) or(others Said) Said {
	return Said{cmp.Or(s.Department, others.Department), cmp.Or(s.Classification, others.Classification), cmp.Or(s.Collection, others.Collection)}
}

// complete reports whether others have nothing to add.
func (s Said) complete() bool {
	return s.Department != "" && s.Classification != "" && s.Collection != ""
}

// Rule is for objects whose keys match a pattern and that have a tag, if it names these.
// Of rules that say different things the first counts.
type Rule struct {
	Key        string // "*" stands for any characters, "?" for one
	Tag, Value string
	Said
}

// owner is the department whose job registers a place: none, if there are several.
func (p *Place) owner() string {
	if slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Department != "" }) {
		return ""
	}
	return p.Department
}

// tagged reports whether tags decide what is said.
func (p *Place) tagged() bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Tag != "" })
}

// say is what is said about the object at a key, beyond what said says already. Its tags
// are asked for if they matter.
func (p *Place) say(key string, said Said, tags func() (map[string]string, error)) (Said, error) {
	var tagged map[string]string
	for _, r := range p.Rules {
		if said.complete() || r.Key != "" && !matches(r.Key, key) {
			continue
		}
		if r.Tag != "" {
			if tagged == nil {
				var err error
				if tagged, err = tags(); err != nil {
					return Said{}, err
				}
			}
			if value, ok := tagged[r.Tag]; !ok || value != r.Value {
				continue
			}
		}
		said = said.or(r.Said)
	}
	return said.or(p.Said), nil
}

// matches reports whether all of a key matches a pattern. Each star takes as little as it can,
// and more when what follows it does not fit: going back to the last one is enough.
func matches(wanted, key string) bool {
	pattern, s := []rune(wanted), []rune(key)
	p, i := 0, 0
	star, from := -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
