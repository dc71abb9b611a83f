"""What comes out of each kind of node: rules by what they handle, a file for each family.

A rule takes the channels found so far and a node, notes what must agree, and gives what the node
holds; None where it holds no channels that are followed. Each file ends with its table, by the name
of the function or the class of the layer; `archsmith.elastic.following` puts them together.
"""
