"""The Ray Serve application: HTTP in, durable jobs, autoscaled editors, the page.

    serve run serve.app:app                      # the embedded model, on http://127.0.0.1:8000
    serve run serve.app:app backbone=Lightricks/LTX-Video-0.9.5 data=/data/serve

What happens to an edit, file by file: `api.py` takes it in (`upload.py` to disk, `jobs.py` to the table), `dispatcher.py` hands it to an editor,
`worker.py` does it there under a lease and commits it, `api.py` gives it out. A job is a row: whoever dies, the row says what is to be done.

    HTTP, without Ray     api  edits  artefacts  service  pages | door  desk  shell  problems  schema  openapi
                          upload  form  intake  probe  incoming | events  ranges  metrics  patience
    the table             job  rows  jobs  admission  database  housekeeping | files | keys
    the work              worker
    Ray Serve             app  dispatcher  replica  captions
    outside               client  demo  page/
"""
