// Package page recognizes pages in pictures by their layout: where words stand, not what
// they are. Nothing is read, so that language, script and sharpness hardly matter.
//
// # From picture to words
//
// A picture is blurred until letters join and words do not, in a scale in which words are
// 7.5 pixels high. What is clearly darker than its surroundings is a word (of Nastaliq, a
// few ligatures). The scale is found by looking: within a factor of two around the
// right one nearly the same words are found, and their height tells how far off it was. Light
// and shadow are divided out after the blur, so that noise and the grid of a screen
// are no brighter paper. Light print on a dark ground is looked at as its negative.
//
// # From words to hashes
//
// Words are put in lines: the direction is that of the long axes of long words, and
// every word has a next one, and a nearest one above and below. A code is a word with some of
// those that follow it on its line, and some that follow the nearest in the lines above
// and below, in the ways listed in patterns. Where they begin and end decides nothing; where
// their middles are, along the line and in units of the distance from the first to the
// last, is rounded to steps, and the steps are hashed; what stands at regular distances, as dots
// and boxes do, is no code. Those ratios do not change when
// the page is moved, turned, scaled or sheared, and hardly when it is seen from the side.
//
// To find documents by sequences of distances on lines is old (Hull, "Document image
// matching and retrieval with multiple distortion-invariant descriptors", 1995), and
// hashing places in a frame that some points give is geometric hashing (Lamdan and
// Wolfson, 1988). What is hashed here follows the order of reading; it is no choice of
// subsets from the nearest neighbors of a point, as in locally likely arrangement hashing,
// which takes thousands of hashes a page.
//
// A page of a thousand characters and more has some hundreds of codes. The hashes of a registered page are kept
// once; for a picture those are asked for, too, that its codes would have if the places
// nearest to another step were in it ([Query.Hashes]).
//
// # From hashes to pages
//
// The pages that share most are compared word by word ([Query.Verify]). Every shared code is
// a guess where the page lies; those that agree are fitted, and the map is extended from
// there over the picture, as a homography once there are words enough. Where the page is
// known, the picture is looked at once more, in the very scale in which the page was
// looked at ([Match.Refine]): what is one word there is one word here then. Each word of
// the picture should lie on one of the page. How many do by accident is found by moving the
// page along its own lines ([Match.Expected]); pages of the same form agree where the form is
// printed, and are told apart by [Match.Agreement].
package page
