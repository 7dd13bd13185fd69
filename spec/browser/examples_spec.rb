# frozen_string_literal: true

require "digest"
require_relative "chromium"
require_relative "example"

# The pages of examples in a real browser.
RSpec.describe "the examples in Chromium", timeout: 120 do
  around do |example|
    Dir.mktmpdir do |directory|
      @directory = directory
      @browser = Chromium.new
      example.run
    ensure
      @browser&.quit
    end
  end

  it "upload a file, and show how much of it is written" do
    bytes = Random.bytes(3_000_000)
    path = File.join(@directory, "photo 1.bin")
    File.binwrite(path, bytes)
    Dir.mkdir(target = File.join(@directory, "target"))
    Example.run("upload", target) do |server|
      window = @browser.open("http://127.0.0.1:#{server.port}/")
      window.choose("#file", path)
      window.wait_until("document.querySelector('#said').textContent !== ''", seconds: 30)
      expect(window.text("#said"))
        .to eq "photo_1.bin: 3,000,000 bytes, SHA-256 #{Digest::SHA256.hexdigest(bytes)}"
      expect(window.evaluate("document.querySelector('#bar').value")).to eq 1
      expect(File.binread(File.join(target, "photo_1.bin"))).to eq bytes
      window.choose("#file", path)
      window.wait_until("document.querySelector('#said').textContent.startsWith('Closed: 4409')")
    end
  end

  it "reload a page whose file has changed, and a style sheet without it" do
    Example.run("livereload", @directory) do |server|
      page = File.join(@directory, "page.html")
      File.write(page, <<~HTML)
        <link rel="stylesheet" href="page.css"><p>one</p>
        <script src="http://127.0.0.1:#{server.port}/livereload.js"></script>
      HTML
      server.wait_for(/changed: page.html/)
      window = @browser.open("file://#{page}")
      window.evaluate("window.kept = true")
      server.wait_for(/a page is open/)
      File.write(File.join(@directory, "page.css"), "p { color: rgb(1, 2, 3); }")
      window.wait_until("getComputedStyle(document.querySelector('p')).color === 'rgb(1, 2, 3)'")
      expect(window.evaluate("window.kept")).to be true
      File.write(page, File.read(page).sub("one", "and two"))
      begin
        window.wait_until("document.querySelector('p')?.textContent === 'and two'")
      rescue Chromium::Failed => e
        # The page that was waiting is gone; so it is meant.
        e.message.include?("navigated") ? retry : raise
      end
      expect(window.evaluate("window.kept")).to be_nil
    end
  end

  it "come back to a channel, and miss nothing" do
    Example.run("recovering") do |server|
      CutNetwork.open(server.port) do |network|
        page = File.join(@directory, "page.html")
        File.write(page, <<~HTML)
          <script src="file://#{Example::ROOT}/examples/recovering.js"></script>
          <script>
            const came = [], states = [];
            const news = new Recovering("ws://127.0.0.1:#{network.port}/", {
              began: (kept) => states.push("began"),
              came: (message) => came.push(Number(message)),
              changed: (state) => states.push(state),
            });
          </script>
        HTML
        window = @browser.open("file://#{page}")
        window.wait_until("states.includes('open')")
        expect(window.evaluate("news.send('1')")).to be true
        window.wait_until("came.length === 1")
        network.cut
        client = connect(port: server.port)
        client.read_text
        (2..100).each { |n| client.text(n.to_s) }
        window.wait_until("came.length >= 100", seconds: 20)
        expect(window.evaluate("came")).to eq [*1..100]
        expect(window.evaluate("states")).to eq %w[began open lost open]
      end
    end
  end
end
