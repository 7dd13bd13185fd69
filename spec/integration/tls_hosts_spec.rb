# frozen_string_literal: true

RSpec.describe EventMachine::WebSocket, "and the hosts of tls_options", :extension do
  # A key and a certificate of this name, as texts.
  define_method(:host) do |name|
    key = OpenSSL::PKey::EC.generate("prime256v1")
    certificate = OpenSSL::X509::Certificate.new(Certificate.chain_text)
    certificate.subject = OpenSSL::X509::Name.parse("/CN=#{name}")
    certificate.public_key = key
    certificate.sign(key, OpenSSL::Digest.new("SHA256"))
    { private_key: key.to_pem, cert: certificate.to_pem }
  end

  def serve_hosts(hosts, **options, &accept)
    serve(secure: true, tls_options: { **host("default"), hosts: hosts, **options }, &accept)
  end

  # The name in the certificate that is served to who asks for this one, and an echo.
  def served(hostname, **settings)
    client = opened(TlsClient.new(server.port, hostname: hostname, **settings))
    client.open
    client.text("hello")
    expect(client.read_text).to eq("hello")
    client.socket.peer_cert.subject.to_s
  end

  it "serves each name its certificate, and the default to all others" do
    names = ["a.example", "*.example", "*.b.example", ".c.test"]
    serve_hosts(names.to_h { |name| [name, host(name)] })
    {
      "a.example" => "a.example", "A.EXAMPLE" => "a.example", "z.example" => "*.example",
      "y.z.example" => "*.example", "z.b.example" => "*.b.example", "c.test" => ".c.test",
      "z.c.test" => ".c.test", "example" => "default", "a.example.org" => "default",
      nil => "default"
    }.each do |name, expected|
      %i[TLS1_2_VERSION TLS1_3_VERSION].each do |version|
        version = OpenSSL::SSL.const_get(version)
        expect(served(name, min_version: version, max_version: version)).to eq("/CN=#{expected}")
      end
    end
  end

  it "tells the application which name was asked for" do
    serve_hosts({ "a.example" => host("a.example") })
    served("a.example")
    ws = server.connection

    expect(server.call { ws.get_sni_hostname }).to eq("a.example")
  end

  it "takes them in start_tls" do
    hosts = { "a.example" => host("a.example") }
    serve do |ws|
      echo(ws)
      ws.start_tls(**host("default"), hosts: hosts)
    end

    expect([served("a.example"), served("b.example")]).to eq(%w[/CN=a.example /CN=default])
  end

  it "takes names that are Symbols, and hosts in Hashes of other classes" do
    odd = Class.new(Hash) { def [](key) = super(key.to_s) }
    serve_hosts({ "a.example": odd.new.merge!(host("a.example").transform_keys(&:to_s)) })

    expect(served("a.example")).to eq("/CN=a.example")
  end

  it "asks clients of every name for what the server demands" do
    serve_hosts({ "a.example" => host("a.example") }, verify_peer: true,
                                                      fail_if_no_peer_cert: true)
    ["a.example", "b.example"].each do |name|
      client = begin
        opened(TlsClient.new(server.port, hostname: name))
      rescue OpenSSL::SSL::SSLError, SystemCallError
        nil
      end
      expect(client&.open).to be_nil
    end
  end

  it "reads the Hash once, and looks at it again in the next server" do
    hosts = { "a.example" => host("a.example") }
    serve_hosts(hosts)
    expect(served("b.example")).to eq("/CN=default")
    hosts["b.example"] = host("b.example")
    hosts["a.example"][:cert].replace("broken")
    expect([served("a.example"), served("b.example")]).to eq(%w[/CN=a.example /CN=default])
    hosts["a.example"] = host("a.example")
    server.stop
    serve_hosts(hosts)

    expect(served("b.example")).to eq("/CN=b.example")
  end

  it "serves a renewed certificate of a host" do
    Dir.mktmpdir do |directory|
      files = { private_key_file: "key.pem", cert_chain_file: "chain.pem" }
              .transform_values { |name| File.join(directory, name) }
      write = lambda do |name|
        host(name).each_value.zip(files.each_value) { |text, file| File.write(file, text) }
      end
      write.call("first")
      now = [100.0]
      allow_any_instance_of(described_class::Certificate).to receive(:now) { now.first }
      serve_hosts({ "a.example" => files })
      expect(served("a.example")).to eq("/CN=first")
      write.call("later")
      # They are looked at once a second.
      expect(served("a.example")).to eq("/CN=first")
      now[0] += 1.5

      expect([served("a.example"), served(nil)]).to eq(%w[/CN=later /CN=default])
    end
  end

  good = { private_key: "key", cert: "cert" }
  {
    "no Hash" => [[], /\Atls_options\[:hosts\]: an object of Array is no Hash/],
    "hosts that are no Hash" => [
      { "a.example" => "cert.pem" }, /\[:hosts\]\["a.example"\]: an object of String is no Hash/
    ],
    "names that are none" => [{ /a/ => good }, %r{\[:hosts\]: /a/ is no host name}],
    "names that no client can ask for" => [
      { "a.*" => -> { host("a") } }, /\[:hosts\]: "a\.\*" is no host name/
    ],
    "a name twice" => [
      { "a.example" => -> { host("a") }, "A.example" => -> { host("a") } },
      /\[:hosts\]: "A\.example" has a certificate already/
    ],
    "keys that are Strings" => [
      { "a.example" => good.transform_keys(&:to_s) },
      /\["a.example"\]: the key "private_key" must be the Symbol/
    ],
    "options that are for all" => [
      { "a.example" => { **good, verify_peer: true } },
      /\["a.example"\]: :verify_peer is for all hosts/
    ],
    "keys that there are not" => [
      { "a.example" => { **good, cert_chain: "chain.pem" } },
      /\["a.example"\]: there is no :cert_chain: use some of \[:private_key_file, /
    ],
    "a value that is no text" => [
      { "a.example" => { **good, private_key: 5 } },
      /\["a.example"\]\[:private_key\]: an object of Integer is no String/
    ],
    "a host without a certificate" => [
      { "a.example" => {} }, /\["a.example"\]: no certificate was given/
    ],
    "a certificate that is none" => [
      { "a.example" => good }, /\["a.example"\]: no certificate in tls_options\[:cert\]/
    ]
  }.each do |what, (hosts, message)|
    it "refuses #{what} at start" do
      if hosts.is_a?(Hash)
        hosts = hosts.transform_values do |one|
          one.respond_to?(:call) ? instance_exec(&one) : one
        end
      end
      expect { serve_hosts(hosts) }.to raise_error(ArgumentError, message)
    end
  end

  it "names the host whose file is missing" do
    files = { private_key_file: "/nowhere/key.pem", cert_chain_file: "/nowhere/chain.pem" }

    expect { serve_hosts({ "a.example" => files }) }
      .to raise_error(EventMachine::FileNotFoundException, %r{"a.example".*/nowhere/chain.pem})
  end

  describe "on EventMachine's own sockets, which have none", :attached do
    { hosts: {}, client_ca_file: "ca.pem" }.each do |key, value|
      it "refuses :#{key} at start" do
        expect { serve(secure: true, tls_options: { **Certificate.tls_options, key => value }) }
          .to raise_error(ArgumentError, /\Atls_options\[:#{key}\]: connections on EventMachine's/)
      end

      it "refuses :#{key} in start_tls" do
        raised = Mailbox.new
        serve do |ws|
          ws.start_tls(**Certificate.tls_options, key => value)
        rescue ArgumentError => e
          raised << e.message
          ws.close_connection
        end
        dial

        expect(raised.pop).to match(/\Atls_options\[:#{key}\]: connections on EventMachine's/)
      end
    end
  end
end
