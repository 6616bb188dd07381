//! Undo where somebody was faster, and where not all is known.
