# frozen_string_literal: true

require "json"

# The page to look inside a server: `:live` of `:http`, and who may see it.
RSpec.describe EventMachine::WebSocket, "and the page to look inside", :extension do
  include HttpClient

  it "is a page of one file, which may load nothing else" do
    serve(http: { "/-/" => :live })
    response = ask("GET", "/-/")

    expect(response["content-type"]).to eq("text/html; charset=utf-8")
    expect(response["content-security-policy"]).to start_with("default-src 'none'; ")
    expect(response.body.scan(/(?:src|href)="([^"]*)"/)).to eq([["data:,"]])
  end

  it "asks for numbers that there are" do
    serve(http: { "/-/" => :live })
    stats = JSON.parse(ask("GET", "/-/?stats").body)
    asked = ask("GET", "/-/").body.scan(/\["([a-z]+(?:_[a-z]+)*)", "/).flatten.uniq

    expect(asked.size).to be >= 12
    expect(asked - stats.keys).to be_empty
  end

  seen = {
    "from this machine" => [:live, {}, 200],
    "by its name" => [:live, { "Host" => "localhost:8080" }, 200],
    "by a name below it" => [:live, { "Host" => "demo.localhost" }, 200],
    "by IPv6" => [:live, { "Host" => "[::1]:8080" }, 200],
    "through a proxy" => [:live, { "X-Forwarded-For" => "192.0.2.1" }, 403],
    "through a proxy that keeps to RFC 7239" => [:live, { "Forwarded" => "for=x" }, 403],
    "by a name that a page elsewhere has made up" => [:live, { "Host" => "evil.example" }, 403],
    "by a name that ends in a network's" => [{ live: "127.0.0.0/8" }, { "Host" => "x.example" },
                                             403],
    "by a name that begins like one of ours" => [:live, { "Host" => "localhost.evil" }, 403],
    "from a network that is allowed" => [{ live: "127.0.0.0/8" }, {}, 200],
    "from another network" => [{ stats: %w[10.0.0.0/8 192.0.2.0/24] }, {}, 403],
    "by anyone" => [{ live: :anyone }, { "Host" => "x.example", "Via" => "1.1 x" }, 200]
  }
  seen.each do |how, (entry, headers, status)|
    it "answer #{status} to who asks #{how}" do
      serve(http: { "/-/" => entry })

      expect(ask("GET", "/-/", headers).status).to eq(status)
      expect(ask("GET", "/-/?stats", headers).status).to eq(status)
    end
  end
end
