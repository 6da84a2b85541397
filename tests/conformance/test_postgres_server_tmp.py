import time, psycopg, subprocess, sys
from sqlalchemy import create_engine, text
def raw(u): return u.replace("+psycopg","")
def test_restart(postgres_server, postgres_url):
    e=create_engine(postgres_url)
    with e.begin() as c: c.execute(text("create table t as select 7 as n"))
    e.dispose()
    out=subprocess.run([sys.executable,"-c",f"import psycopg;print(psycopg.connect({raw(postgres_url)!r}).execute('select n from t').fetchone())"],capture_output=True,text=True)
    assert out.stdout=="(7,)\n", out
    name=postgres_url.rpartition("/test_")[2]
    db="test_"+postgres_url.split("/test_")[1].split("?")[0]
    t=time.time(); copy=postgres_server.new_database(template=db); print("template",time.time()-t)
    assert psycopg.connect(raw(copy)).execute("select n from t").fetchone()==(7,)
    t=time.time(); postgres_server.kill(); print("kill",time.time()-t)
    t=time.time(); postgres_server.start(); print("start",time.time()-t)
    with psycopg.connect(raw(postgres_url)) as c:
        assert c.execute("select n from t").fetchone()==(7,)
        assert c.execute("show fsync").fetchone()==("off",)
    t=time.time(); postgres_server.stop(); print("stop",time.time()-t)
    t=time.time(); postgres_server.start(); print("start",time.time()-t)
    assert psycopg.connect(raw(postgres_url)).execute("select n from t").fetchone()==(7,)
    postgres_server.kill(); postgres_server.start()
def test_fresh(postgres_url):
    assert psycopg.connect(raw(postgres_url)).execute("select count(*) from pg_tables where schemaname='public'").fetchone()==(0,)
