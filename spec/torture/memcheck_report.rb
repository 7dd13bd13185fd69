# frozen_string_literal: true

require "rexml/document"

module Torture
  # Findings of valgrind's memcheck. Ruby looks for objects in memory that nobody has written to,
  # and says so in the thousands; an error is ours where it happened in our library, or in what it
  # has called in the C library.
  class MemcheckReport
    OURS = /em_websocket_rs\.so\z/
    LIBC = %r{/(vgpreload_[^/]*|lib(c|pthread|m)|ld-linux[^/]*)[.-][^/]*\z}

    # ring hashes in assembler, which memcheck cannot follow: it thinks that the digest, and so
    # every byte of TLS, depends on what nobody has written.
    TLS = /\b(rustls|ring)::/

    # Nothing is lost that a program which ends has not given back.
    LOST = "Leak_DefinitelyLost"

    def initialize(path)
      document = REXML::Document.new(File.read(path))
      @errors = document.get_elements("//error").map { |element| Error.new(element) }
    end

    def count = @errors.size

    def tls = ours.select(&:tls?)
    def invalid = ours - tls
    def lost = @errors.select { |error| error.kind == LOST && error.ours? }
    def lost_bytes = lost.sum(&:bytes)

    private

    def ours = @errors.select { |error| error.kind != LOST && error.ours? }

    # One of them.
    class Error
      attr_reader :kind, :bytes, :frames

      def initialize(element)
        @kind = element.text("kind")
        @bytes = element.text("xwhat/leakedbytes").to_i
        @frames = element.elements["stack"].get_elements("frame").map do |frame|
          [frame.text("obj").to_s, frame.text("fn").to_s]
        end
      end

      # True if the first who is not the C library is us.
      def ours? = frames.map(&:first).find { |object| !object.match?(LIBC) }.to_s.match?(OURS)
      def tls? = frames.any? { |_, function| function.match?(TLS) }
      def to_s = "#{kind} #{frames.first(12).map(&:last).join(" < ")}"
    end
  end
end
