"""The pages that reviewers work on: rendered here, in two languages, whole without JavaScript."""
