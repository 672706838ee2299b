package config

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// maxEncodeNodes bounds the nodes that are encoded at a time: the library's encoder keeps some hundred bytes for each until
// it is done.
const maxEncodeNodes = 2000

// encodeNode writes a tree as YAML, in pieces of at most so many nodes where its style lets it be taken apart. The result
// is the same as if it were written at once.
func encodeNode(n *yaml.Node, most int) ([]byte, error) {
	if !isBlock(n) || countNodes(n) <= most {
		return encodeWhole(n)
	}
	per := 1
	if n.Kind == yaml.MappingNode {
		per = 2
	}
	var out []byte
	for i := 0; i+per <= len(n.Content); {
		piece := &yaml.Node{Kind: n.Kind, Tag: n.Tag}
		for nodes := 0; i+per <= len(n.Content); i += per {
			value := n.Content[i+per-1]
			nodes += countNodes(value)
			if len(piece.Content) > 0 && nodes > most {
				break
			}
			piece.Content = append(piece.Content, n.Content[i:i+per]...)
		}
		text, err := encodePiece(piece, most)
		if err != nil {
			return nil, err
		}
		out = append(out, text...)
	}
	return out, nil
}

// encodePiece writes some elements of a list or mapping. An only one which is large is written apart from its key, or its dash.
func encodePiece(piece *yaml.Node, most int) ([]byte, error) {
	value := piece.Content[len(piece.Content)-1]
	if len(piece.Content) > 2 || piece.Kind == yaml.SequenceNode && len(piece.Content) > 1 || !isBlock(value) || countNodes(value) <= most {
		return encodeWhole(piece)
	}
	// A word in the place of the value shows what stands before it.
	const word = "VALUE"
	frame := &yaml.Node{Kind: piece.Kind, Tag: piece.Tag}
	frame.Content = append(frame.Content, piece.Content[:len(piece.Content)-1]...)
	frame.Content = append(frame.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: word})
	head, err := encodeWhole(frame)
	if err != nil {
		return nil, err
	}
	head, ok := bytes.CutSuffix(head, []byte(" "+word+"\n"))
	if !ok || bytes.HasPrefix(head, []byte("?")) {
		return encodeWhole(piece)
	}
	text, err := encodeNode(value, most)
	if err != nil {
		return nil, err
	}
	const indent = "  "
	if piece.Kind == yaml.MappingNode {
		head = append(head, "\n"+indent...)
	} else {
		head = append(head, ' ') // what is in a list's element begins beside its dash
	}
	return append(head, indentLines(text, indent)...), nil
}

// isBlock reports whether a node is a list or mapping that may be taken apart: it is not within brackets, and has nothing of
// its own that stands before it.
func isBlock(n *yaml.Node) bool {
	return (n.Kind == yaml.SequenceNode || n.Kind == yaml.MappingNode) && n.Style == 0 && n.Anchor == "" && len(n.Content) > 0
}

// encodeWhole writes a tree at once.
func encodeWhole(n *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// indentLines indents all lines but the first, and empty ones.
func indentLines(text []byte, indent string) []byte {
	out := make([]byte, 0, len(text)+len(text)/8)
	for line := range bytes.Lines(text) {
		if len(out) > 0 && len(line) > 1 {
			out = append(out, indent...)
		}
		out = append(out, line...)
	}
	return out
}
