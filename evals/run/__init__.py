"""One evaluation: its arms, its runs, and the samples that it keeps."""
