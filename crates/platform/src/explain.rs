//! Findings, holds and postures in plain words.
