package api
import ("testing";"strings")
func TestZZ(t *testing.T){ h:=newHouse(t,options{}); n:="finance-budget-call-circular.pdf"; c:=sample(t,n); h.register(n,string(c)); r:=h.upload(h.http,"/v1/match",field{"file",string(c),"a.pdf"}); t.Log(string(r.body)[:300]); for _,l:=range strings.Split(h.log.String(),"\n"){ if strings.Contains(l,"ERROR"){ t.Log(strings.ReplaceAll(strings.ReplaceAll(l,`\n`,"\n"),`\t`,"\t")) } } }
