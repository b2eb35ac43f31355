//! From evidence to grades.
