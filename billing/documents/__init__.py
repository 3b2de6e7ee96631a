"""An invoice as files: PDF, electronic invoice, CSV, JSON, FOCUS.

`loading.invoice_document(invoice)` reads an invoice into one frozen `document.InvoiceDocument`;
everything else here makes bytes of that and of nothing else, so that the files cannot disagree.
`files.document_file(document, form)` is what portal and commands call. docs/documents.md says what
each file holds.
"""
