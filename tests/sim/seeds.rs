//! The ordinary run: a few hundred seeds hold every invariant, and the simulation itself is what it says. `./test simulation`
//! runs as many as one likes.
