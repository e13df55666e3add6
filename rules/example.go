package rules

type exampleYAML struct {
	Name   string            `yaml:"name"`
	Step   string            `yaml:"step"`
	For    string            `yaml:"for"`
	Given  map[string]string `yaml:"given"`
	Events *[]string         `yaml:"events"`
	Facts  *[]string         `yaml:"facts"`
	Then   string            `yaml:"then"`
}

type nodeExamples struct{ node *Node }

func (l *loader) loadExamples(src *source, n *Node, list []exampleYAML) {}
